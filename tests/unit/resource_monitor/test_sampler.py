"""The sampler process and its supervisor, with a driver that hangs, dies, raises or prints."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from resource_monitor import create_app
from resource_monitor.sampler import Sampler
from resource_monitor.settings import Settings

FAKES = Path(__file__).with_name("sampler_of_fakes.py")
PATIENCE_S = 2.0  # long enough to observe the hang before the process is killed


def eventually(holds: Callable[[], object], within_s: float = 15.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.01)


def argv(behaviour: str, marker: Path) -> list[str]:
    return [sys.executable, str(FAKES), behaviour, str(marker)]


class Node:
    """A sampler with a fake driver, and the application above it."""

    def __init__(self, behaviour: str, marker: Path) -> None:
        self.sampler = Sampler(argv(behaviour, marker), patience_s=PATIENCE_S, pauses_s=(0.05,))
        self.client = create_app(self.sampler, Settings()).test_client()

    def status(self) -> dict:
        response = self.client.get("/status")
        assert response.status_code == 200
        return response.get_json()

    def codes(self) -> list[str]:
        return [reason["code"] for reason in self.status()["reasons"]]


def timed(node: Node) -> tuple[float, dict, int]:
    """Return how long a status took (s), its content, and the status code of /readyz."""
    began = time.monotonic()
    status = node.status()
    return time.monotonic() - began, status, node.client.get("/readyz").status_code


@pytest.fixture
def node_with(tmp_path: Path) -> Iterator[Callable[[str], Node]]:
    nodes: list[Node] = []

    def make(behaviour: str) -> Node:
        nodes.append(Node(behaviour, tmp_path / "marker"))
        nodes[-1].sampler.start()
        return nodes[-1]

    yield make
    for node in nodes:
        node.sampler.stop()


def test_starting_then_available(node_with: Callable[[str], Node]) -> None:
    node = node_with("none")
    assert node.codes() == ["starting"]
    assert node.client.get("/readyz").status_code == 503
    eventually(lambda: node.status()["available"])
    assert node.client.get("/readyz").status_code == 200


def test_a_hang_is_stale_at_once_and_a_new_sampler_takes_over(
    node_with: Callable[[str], Node], tmp_path: Path
) -> None:
    node, marker = node_with("hang"), tmp_path / "marker"
    eventually(marker.exists)
    eventually(lambda: node.codes() == ["stale"])
    took_s, status, ready = min((timed(node) for _ in range(5)), key=lambda one: one[0])
    assert took_s < 0.1
    assert not status["available"]
    assert "a driver call may hang" in status["reasons"][0]["message"]
    assert ready == 503
    eventually(lambda: node.status()["available"])
    eventually(lambda: not psutil.pid_exists(int(marker.read_text())))


def test_the_status_has_the_reason_why_the_sampler_failed(tmp_path: Path) -> None:
    sampler = Sampler([sys.executable, "-c", "raise SystemExit(3)"], pauses_s=(60,))
    sampler.start()
    eventually(lambda: sampler.problem == "the sampler process ended")
    message = (
        create_app(sampler, Settings())
        .test_client()
        .get("/status")
        .get_json()["reasons"][0]["message"]
    )
    assert message == "The monitor is starting, 0 of 2 readings taken: the sampler process ended."
    sampler.stop()


@pytest.mark.parametrize(
    "output", ["print('hello')", "print('{}')", "print('[1]')", "print('x' * 10**7)"]
)
def test_a_process_with_output_that_is_not_a_sample_is_replaced(output: str) -> None:
    sampler = Sampler(
        [sys.executable, "-c", f"{output}; import time; time.sleep(60)"], pauses_s=(60,)
    )
    sampler.start()
    eventually(lambda: sampler.problem)
    assert "wrote" in (sampler.problem or "")
    sampler.stop()


def test_a_sampler_that_dies_is_replaced(node_with: Callable[[str], Node], tmp_path: Path) -> None:
    node = node_with("die")
    eventually((tmp_path / "marker").exists)
    before = node.sampler.samples
    eventually(lambda: len(node.sampler.samples) > len(before) + 2)
    assert node.status()["available"]


def test_a_driver_that_raises_is_a_reason_and_the_host_is_still_read(
    node_with: Callable[[str], Node],
) -> None:
    node = node_with("raise")
    eventually(lambda: "gpu_unknown" in node.codes())
    status = node.status()
    assert not status["available"]
    assert "RuntimeError: the driver crashed" in str(status["reasons"])
    assert status["cpu"]["usage_percent"] == 10.0


def test_output_of_a_library_does_not_mix_with_the_samples(
    node_with: Callable[[str], Node], tmp_path: Path
) -> None:
    node, marker = node_with("print"), tmp_path / "marker"
    eventually(marker.exists)
    count = len(node.sampler.samples)
    eventually(lambda: len(node.sampler.samples) > count + 3)
    assert node.sampler.problem is None
    assert psutil.pid_exists(int(marker.read_text()))


def test_stop_ends_the_process(node_with: Callable[[str], Node]) -> None:
    others = psutil.Process().children()
    node = node_with("none")
    eventually(lambda: node.sampler.samples)
    children = [child for child in psutil.Process().children() if child not in others]
    node.sampler.stop()
    assert children
    assert psutil.wait_procs(children, timeout=2)[1] == []


@pytest.mark.parametrize("behaviour", ["none", "hang"])
def test_a_sampler_ends_with_its_parent_even_while_it_hangs(behaviour: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    process = subprocess.Popen(
        argv(behaviour, marker), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    if behaviour == "hang":
        eventually(marker.exists)
    process.stdin.close()  # as the kernel does when the parent is killed
    assert process.wait(5) == 0
    process.stdout.close()


def test_samples_older_than_the_window_are_dropped() -> None:
    line = (
        '{"at": %d, "period_s": 0.5, "host": {"load_average": null}, '
        '"report": {"gpus": [], "faults": [], "min_period_s": 0}}'
    )
    script = f"""
import time
for at in range(1000): print('''{line}''' % at)
print(flush=True); time.sleep(60)
"""
    sampler = Sampler([sys.executable, "-c", script], pauses_s=(60,))
    sampler.start()
    eventually(lambda: sampler.problem)
    assert [sample.at for sample in sampler.samples] == list(range(989, 1000))
    sampler.stop()


def test_a_process_that_cannot_be_started_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This happens on a node that has no free process for a while."""
    popen, refusals = subprocess.Popen, iter([OSError(11, "Resource temporarily unavailable")] * 2)

    def scarce(*args: object, **options: object) -> object:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        return popen(*args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", scarce)
    node = Node("none", tmp_path / "marker")
    node.sampler.start()
    try:
        eventually(lambda: node.sampler.samples)
    finally:
        node.sampler.stop()
