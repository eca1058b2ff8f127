"""This module fills queues for the benchmarks: with many jobs, a training and a scheduler."""

import multiprocessing
import time
from collections.abc import Sequence
from typing import Any

import redis

from jobqueue.clock import rfc3339
from jobqueue.job import JobSpec, Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Caps, Store
from jobqueue.store.leader import Leader, Outcome, SlotLimits, Start

NO_CAPS = Caps(10**9, 10**9)
CONFIG_TEXT = "\n".join(
    f"key_{number:02d}: value number {number:02d}" for number in range(40)
).ljust(1024)
_AT_ONCE = 500
_FIRST_AT = 1_700_000_000


class _PipedStore(Store):
    """This store sends through a pipeline: `enqueue` is answered when the pipeline is executed."""

    def run(self, script: str, *args: Any) -> Any:
        super().run(script, *args)
        return "new", "", 0


def fill(url: str, jobs: int, users: int, writers: int = 2) -> None:
    """Submit `jobs` jobs of u0, u1, …, u<users - 1> in turn, each with its config's text, by
    enqueue.lua itself.

    Each share of the users has its own process, because Redis is faster than the making of the
    commands.
    """
    shares = [(url, jobs, users, range(number, users, writers)) for number in range(writers)]
    with multiprocessing.get_context("spawn").Pool(writers) as pool:
        pool.starmap(_fill_share, shares)


def _fill_share(url: str, jobs: int, users: int, mine: Sequence[int]) -> None:
    with redis.Redis.from_url(url).pipeline(transaction=False) as pipe:
        store = _PipedStore(pipe)
        for turn in range(-(-jobs // users)):
            for number in mine:
                if turn * users + number < jobs:
                    _enqueue(store, f"u{number}", _FIRST_AT + turn)
                if len(pipe) >= _AT_ONCE:
                    pipe.execute()
        pipe.execute()


def _enqueue(store: Store, user: str, at: float) -> str:
    spec = JobSpec(user, "proto_gcn.yaml", f"/data/{user}", config_text=CONFIG_TEXT)
    return store.enqueue(spec, at, NO_CAPS).job_id


def set_to_work(store: Store) -> None:
    """Add a scheduler's report, one finished training (for estimates) and a running one.

    So no answer lacks a part.
    """
    leader = Leader.lead(store, "benchmark", 3600)
    assert leader is not None
    now = time.time()
    leader.finish(
        _run(store, leader, "first"),
        now,
        Outcome(Phase.SUCCEEDED, _reason("succeeded"), Result(0), 1800),
    )
    _run(store, leader, "second")
    leader.observe(
        {
            "at": rfc3339(now),
            "summary": "",
            "poll_interval_s": 3600,
            "halted": None,
            "holder": "me",
        },
        {},
    )


def _run(store: Store, leader: Leader, user: str) -> str:
    now = time.time()
    job_id = _enqueue(store, user, now)
    leader.admit(
        store.job(job_id),
        now,
        Start("gpu-1", ("GPU-0",), f"w-{job_id}", "Admitted on gpu-1."),
        SlotLimits(1, 1),
    )
    leader.mark_running(job_id, now, "Runs on gpu-1.")
    return job_id


def _reason(code: str) -> Reason:
    return Reason(ReasonCode(code), "The training finished.")
