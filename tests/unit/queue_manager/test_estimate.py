"""The estimated wait: positions times the average, or learnt durations if there are any."""

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from devtools.testbed.fakes import NOW
from jobqueue.clock import rfc3339
from jobqueue.job import JobSpec
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store import keys
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, SlotLimits, Start
from queue_manager.forecast.wait import ONE_BY_ONE, Outlook, read_outlook


def test_the_wait_is_the_position_times_the_average() -> None:
    """This is the rule of docs/founding-document.md, here with a job that has just started."""
    outlook = Outlook(slots=1, left_s={"r": 600}, ahead_s=[600, 600], average_s=600)
    assert [outlook.wait_s(position) for position in (1, 2, 3)] == [600, 1200, 1800]


def test_jobs_beyond_the_first_ones_count_as_average() -> None:
    outlook = Outlook(slots=1, left_s={}, ahead_s=[10] * ONE_BY_ONE, average_s=7)
    assert outlook.wait_s(ONE_BY_ONE + 1) == 10 * ONE_BY_ONE
    assert outlook.wait_s(ONE_BY_ONE + 4) == 10 * ONE_BY_ONE + 3 * 7


def test_one_unknown_part_makes_the_wait_unknown() -> None:
    assert Outlook(1, {"r": None}, [], None).wait_s(1) is None
    assert Outlook(1, {}, [5, None, 5], 5).wait_s(2) == 5
    assert Outlook(1, {}, [5, None, 5], 5).wait_s(3) is None
    assert Outlook(1, {}, [5], None).wait_s(3) is None


@given(
    slots=st.integers(1, 8),
    left=st.lists(st.floats(0, 1e6), max_size=4),
    ahead=st.lists(st.floats(0, 1e6), max_size=9),
    average=st.floats(0, 1e6),
)
def test_a_later_position_never_waits_less(
    slots: int, left: list[float], ahead: list[float], average: float
) -> None:
    outlook = Outlook(
        slots, {str(number): part for number, part in enumerate(left)}, ahead, average
    )
    waits = [outlook.wait_s(position) or 0 for position in range(1, 14)]
    assert waits == sorted(waits)


def test_an_empty_system_starts_at_once(store: Store) -> None:
    heartbeat(store)
    assert read_outlook(store, 1, NOW).wait_s(1) == 0


def test_each_job_ahead_counts_with_the_duration_of_its_user_and_config(
    store: Store, raw_redis: "redis.Redis"
) -> None:
    for user, took_s in (("a", 100), ("b", 700)):
        raw_redis.lpush(keys.durations(user, "c.yaml")[0], took_s)
        store.enqueue(JobSpec(user, "c.yaml", f"/data/{user}"), NOW, Caps())
    raw_redis.lpush(keys.DURATIONS, 9)
    heartbeat(store)
    outlook = read_outlook(store, 1, NOW)
    assert [outlook.wait_s(position) for position in (1, 2, 3, 4)] == [0, 100, 800, 809]


def heartbeat(store: Store) -> Leader:
    """Write the heartbeat of a working scheduler, and return its leader."""
    leader = Leader.lead(store, "me", 60)
    assert leader is not None
    leader.observe({"at": rfc3339(NOW), "poll_interval_s": 10, "halted": None}, {})
    return leader


@pytest.mark.parametrize(
    "code",
    [
        ReasonCode.RESOURCES_BUSY,
        ReasonCode.MONITOR_UNAVAILABLE,
        ReasonCode.TEMPLATE_INVALID,
        ReasonCode.CREATE_FAILED,
        ReasonCode.ENGINE_UNREACHABLE,
        ReasonCode.CONTROLLER_DOWN,
        ReasonCode.OBJECT_REFUSED,
        ReasonCode.NAME_IN_USE,
    ],
)
def test_the_wait_is_unknown_while_the_first_job_is_held_up(store: Store, code: ReasonCode) -> None:
    leader = heartbeat(store)
    job_id = store.enqueue(JobSpec("a", "c.yaml", "/data/a"), NOW, Caps()).job_id
    assert read_outlook(store, 1, NOW).wait_s(1) == 0
    leader.set_reasons([(store.job(job_id), Reason(code, "GPU 0 is at 93 %"))])
    assert read_outlook(store, 1, NOW).wait_s(1) is None


def test_the_wait_is_unknown_while_the_scheduler_does_not_respond(store: Store) -> None:
    assert read_outlook(store, 1, NOW).wait_s(1) is None
    heartbeat(store)
    assert read_outlook(store, 1, NOW).wait_s(1) == 0
    assert read_outlook(store, 1, NOW + 31).wait_s(1) is None


@pytest.mark.parametrize(
    "code", [ReasonCode.NODE_LOST, ReasonCode.SHORT_OF_GPUS, ReasonCode.ENGINE_UNREACHABLE]
)
def test_a_running_job_without_a_known_end_takes_its_slot_out(
    store: Store, raw_redis: "redis.Redis", code: ReasonCode
) -> None:
    leader = heartbeat(store)
    for user in ("a", "b"):
        raw_redis.lpush(keys.durations(user, "c.yaml")[0], 600)
        job_id = store.enqueue(JobSpec(user, "c.yaml", f"/data/{user}"), NOW, Caps()).job_id
        admit(leader, job_id, slots=2)
    raw_redis.lpush(keys.DURATIONS, 600)
    assert read_outlook(store, 2, NOW).wait_s(1) == 600  # 2 × 600 s over 2 slots
    leader.set_reasons([(store.job(job_id), Reason(code, "nobody can say when it ends"))])
    outlook = read_outlook(store, 2, NOW + 60)
    assert outlook.left_s.get(job_id) is None
    assert read_outlook(store, 3, NOW).wait_s(1) == 300
    assert read_outlook(store, 2, NOW).wait_s(1) == 600  # of the other one alone
    assert read_outlook(store, 1, NOW).wait_s(1) is None


def admit(leader: Leader, job_id: str, slots: int) -> None:
    job = leader.store.job(job_id)
    leader.admit(job, NOW, Start("gpu-1", (), f"w-{job_id}", ""), SlotLimits(slots, 1))
    leader.mark_running(job_id, NOW, "Runs.")
