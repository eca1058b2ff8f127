"""The checker of the fault tests sees what is wrong."""

import pytest

from devtools.testbed.fakes import NOW
from devtools.testbed.invariants import LiveWorkflow, violations
from jobqueue.store.client import Store
from jobqueue.store.leader import SlotLimits, Start
from tests.unit.jobqueue.acts import leader, run, submit


class TestInvariants:
    def test_the_checker_sees_what_is_wrong(self, store: Store, raw_redis) -> None:
        job_id, lead = submit(store), leader(store)
        run(store, lead, submit(store, "b"))
        running = store.running()[0].job_id
        live = [LiveWorkflow("w", running)]
        assert violations(store, live, [job_id, running]) == []
        assert violations(store, [], [])  # running_jobs has one, nothing lives
        assert violations(store, [*live, LiveWorkflow("w-r2", running)], [])
        assert violations(store, live, ["lost_20261124120000"])
        raw_redis.zrem("queue_order", job_id)
        assert violations(store, live, [])
        raw_redis.zadd("queue_order", {job_id: 1})
        raw_redis.hset(f"job:{job_id}", "reason_message", "")
        assert violations(store, live, [job_id])
        raw_redis.hset(f"job:{job_id}", mapping={"reason_message": "x", "phase": "running"})
        assert violations(store, live, [job_id])


@pytest.mark.parametrize(
    ("gpus", "says"),
    [(["GPU-0"], "GPU-0 is promised to 2 jobs"), ([], "gpu-1 has 1 GPUs, 2 are promised")],
)
def test_the_invariants_see_a_gpu_that_is_promised_twice(
    store: Store, gpus: list[str], says: str
) -> None:
    lead, live = leader(store), []
    for user in "ab":
        job_id = submit(store, user)
        lead.admit(
            store.job(job_id), NOW, Start("gpu-1", tuple(gpus), job_id, "Starts."), SlotLimits(9, 1)
        )
        live.append(LiveWorkflow(job_id, job_id))
    assert says in violations(store, live, gpus={"gpu-1": 1})
    assert violations(store, live, gpus={"gpu-1": 2}) == ([] if not gpus else [says])
