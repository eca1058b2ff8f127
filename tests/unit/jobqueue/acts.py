"""Short forms of what the API and the scheduler do with a job, for tests of the store."""

import json
from dataclasses import replace
from typing import Any

from devtools.testbed.fakes import NOW
from jobqueue.job import JobSpec
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, Recorded, SlotLimits, Start

EVICTED = Reason(ReasonCode.EVICTED, "The node was drained.")
FAILED = Reason(ReasonCode.TRAINING_FAILED, "The training ended with exit code 1.")
DONE = Reason(ReasonCode.SUCCEEDED, "The training finished.")


def spec(user: str = "user1", **fields: Any) -> JobSpec:
    found = JobSpec(user, "config.yaml", f"/data/{user}", config_text="a: 1\n")
    return replace(found, **fields)  # type: ignore[arg-type]


def submit(store: Store, user: str = "user1", at: float = NOW) -> str:
    return store.enqueue(spec(user), at, Caps()).job_id


def leader(store: Store) -> Leader:
    lead = Leader.lead(store, "me", 60)
    assert lead is not None
    return lead


def admit(
    store: Store, lead: Leader, job_id: str, max_running: int = 9, max_per_user: int = 1
) -> str:
    return lead.admit(
        store.job(job_id),
        NOW,
        Start("gpu-1", ("GPU-0",), f"proto-gcn-{job_id}", "Starts."),
        SlotLimits(max_running, max_per_user),
    )


def run(store: Store, lead: Leader, job_id: str) -> None:
    admit(store, lead, job_id)
    lead.record_workflow(job_id, Recorded(f"proto-gcn-{job_id}", "uid", "gpu-1", ("GPU-0",)))
    lead.mark_running(job_id, NOW + 1, "Runs.")


def quarantined(raw_redis: Any) -> dict[str, str]:
    """Return the newest entry of the quarantine."""
    return dict(json.loads(raw_redis.lindex("quarantine", 0)))
