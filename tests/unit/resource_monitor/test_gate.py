"""One quantity against its limit: which values pass, and the reason if they do not."""

import pytest

from jobqueue.resources import NodeReason, NodeReasonCode, Thresholds
from resource_monitor.gate import Gate, Quantity, number

BUSY = NodeReasonCode.GPU_BUSY
SHORT = NodeReasonCode.GPU_MEMORY
UNKNOWN = NodeReasonCode.GPU_UNKNOWN


def gpu_3(*values: float | None) -> Quantity:
    """Values of GPU 3, the newest a second old and the others a second apart."""
    return Quantity("GPU 3", values, [float(age) for age in range(len(values), 0, -1)], 3)


def test_by_default_a_gpu_is_required() -> None:
    assert Gate(Thresholds()).require_gpu is True


def test_a_quantity_of_the_host_belongs_to_no_gpu() -> None:
    assert Quantity("The CPU", [95.0], [0.0]).gpu is None


def test_values_that_pass_are_no_reason() -> None:
    assert gpu_3(0, 79.9, 0).below(80, BUSY, UNKNOWN) == []
    assert gpu_3(200.1, 1e15).above(200, SHORT, UNKNOWN) == []


def test_a_limit_that_is_off_gives_no_reason() -> None:
    assert gpu_3(None, 1000).below(None, BUSY, UNKNOWN) == []
    assert gpu_3(None, -1).above(None, SHORT, UNKNOWN) == []


@pytest.mark.parametrize(
    ("values", "message", "value"),
    [
        ((3, 93), "GPU 3 is at 93 % (limit: below 80 %).", 93),
        ((93, 80.0), "GPU 3 was at 93 % 2 s ago (limit: below 80 %).", 93),
        ((90, 90, 7, 90, 7), "GPU 3 was at 90 % 2 s ago (limit: below 80 %).", 90),
    ],
)
def test_the_reason_for_a_busy_gpu(values: tuple[float, ...], message: str, value: float) -> None:
    (reason,) = gpu_3(*values).below(80, BUSY, UNKNOWN)
    assert reason == NodeReason("gpu_busy", message, 3, value, 80, "percent")


@pytest.mark.parametrize(
    ("values", "message", "value"),
    [
        ((900, 150), "GPU 3 has 150 MB free (limit: above 200 MB).", 150),
        ((37.5, 900), "GPU 3 had 37.5 MB free 2 s ago (limit: above 200 MB).", 37.5),
    ],
)
def test_the_reason_for_a_full_gpu(values: tuple[float, ...], message: str, value: float) -> None:
    (reason,) = gpu_3(*values).above(200, SHORT, UNKNOWN)
    assert reason == NodeReason("gpu_memory", message, 3, value, 200, "mb")


@pytest.mark.parametrize("odd", [None, -1, 100.1, float("nan")])
def test_a_percentage_that_cannot_be_is_unknown(odd: float | None) -> None:
    (reason,) = gpu_3(5, odd, 5).below(80, BUSY, UNKNOWN)
    assert reason == NodeReason("gpu_unknown", "GPU 3 does not report its usage.", 3)


@pytest.mark.parametrize("odd", [None, -1, 1.1e15, float("nan")])
def test_an_amount_that_cannot_be_is_unknown(odd: float | None) -> None:
    (reason,) = gpu_3(5, odd, 5).above(200, SHORT, UNKNOWN)
    assert reason == NodeReason("gpu_unknown", "GPU 3 does not report its free memory.", 3)


@pytest.mark.parametrize(("value", "text"), [(93, "93"), (37.5, "37.5"), (0.04, "0"), (10, "10")])
def test_numbers_have_at_most_one_decimal(value: float, text: str) -> None:
    assert number(value) == text
