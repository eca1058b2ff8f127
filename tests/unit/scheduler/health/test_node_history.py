"""How long the scheduler remembers where a job ended and which node did not accept one."""

from devtools.testbed.fakes import FakeClock
from scheduler.health.node_history import NodeHistory


def test_the_end_of_a_job_on_a_node_is_remembered_for_ten_seconds() -> None:
    clock = FakeClock()
    history = NodeHistory(clock)
    history.ended_on(["gpu-1"])
    for later, windows in ((0, {"gpu-1": 0}), (9.5, {"gpu-1": 9.5}), (0.5, {}), (0, {})):
        clock.tick(later)
        assert history.windows_s() == windows


def test_a_node_that_did_not_accept_a_job_is_skipped_for_a_minute_or_until_one_starts() -> None:
    clock = FakeClock()
    history = NodeHistory(clock)
    history.did_not_accept({"gpu-1": "cordoned", "gpu-2": "full"})
    history.started_on(["gpu-2", "gpu-3"])
    for later, nodes in ((0, {"gpu-1": "cordoned"}), (59.5, {"gpu-1": "cordoned"}), (0.5, {})):
        clock.tick(later)
        assert history.not_accepting() == nodes
