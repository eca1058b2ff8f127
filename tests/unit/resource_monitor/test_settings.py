"""The monitor's settings: what the defaults keep to, and one sentence for each wrong variable."""

from ipaddress import ip_address

import pytest

from jobqueue.resources import Thresholds
from jobqueue.service.settings import load_settings
from resource_monitor.decision import FEWEST_SAMPLES, LONGEST_WINDOW_S
from resource_monitor.gate import Gate
from resource_monitor.settings import Settings


def test_the_defaults_pass_their_own_rules_and_are_those_of_the_records() -> None:
    """Elsewhere `Thresholds()` is taken for the default gate."""
    assert load_settings(Settings).gate == Gate(Thresholds())


def test_by_default_only_this_machine_can_ask_and_no_check_is_off() -> None:
    settings = load_settings(Settings)
    assert ip_address(settings.monitor_host).is_loopback
    assert settings.gate.require_gpu
    assert None not in vars(settings.gate.thresholds).values()


def test_a_window_always_has_enough_readings_to_judge_by() -> None:
    period_s = Settings.model_fields["sample_period_s"]
    longest = next(rule.le for rule in period_s.metadata if hasattr(rule, "le"))
    assert longest * FEWEST_SAMPLES < LONGEST_WINDOW_S


def test_each_threshold_can_be_set_or_off(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "GPU_MEMORY_FREE_MB": "0",
        "GPU_UTILIZATION_PERCENT": "OFF",
        "CPU_PERCENT": "99.5",
        "MEMORY_PERCENT": "100",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert load_settings(Settings).gate.thresholds == Thresholds(0, None, 99.5, 100)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("GPU_MEMORY_FREE_MB", "-1", "must be a number from 0 to"),
        ("GPU_UTILIZATION_PERCENT", "101", "must be a number from 0 to 100, or off"),
        ("CPU_PERCENT", "nan", "must be a number from 0 to 100, or off"),
        ("MEMORY_PERCENT", "", "must be a number from 0 to 100, or off"),
        ("REQUIRE_GPU", "perhaps", "should be a valid boolean"),
        ("MONITOR_PORT", "65536", "should be less than or equal to 65535"),
        ("SAMPLE_PERIOD_S", "0", "should be greater than or equal to 0.1"),
        ("NODE_NAME", "gpu 1", "must be a host name"),
        ("LOG_FORMAT", "xml", "should be 'json' or 'console'"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    rule: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as refused:
        load_settings(Settings)
    assert refused.value.code == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"{name}='{value}' is refused: ")
    assert rule in sentence


def test_every_wrong_variable_gets_its_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CPU_PERCENT", "lots")
    monkeypatch.setenv("MONITOR_PORT", "http")
    with pytest.raises(SystemExit):
        load_settings(Settings)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("=")[0] for line in lines] == ["MONITOR_PORT", "CPU_PERCENT"]
