"""What a cycle reports, and how long the scheduler pauses after it."""

from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import make_job
from jobqueue.reason import Reason, ReasonCode
from scheduler.decide.report import HURRY_PAUSE_S, CycleReport, next_pause

HEAD = (make_job(), Reason(ReasonCode.SLOTS_FULL, "1st in line; zoe_1 is starting now"))
REPORT = CycleReport(is_leader=True, queued=2, running=1, head=HEAD)
HURRIED = replace(REPORT, has_free_slot=True, has_just_ended=True)


def test_a_standby_reports_only_that_it_is_one() -> None:
    standby = replace(REPORT, is_leader=False)
    assert standby.summary == "Standing by; another scheduler is the leader."


def test_the_summary_of_a_leader_has_the_counts_and_why_the_next_job_waits() -> None:
    counts = "2 queued, 1 admitted or running"
    assert replace(REPORT, head=None).summary == counts
    job, reason = HEAD
    assert REPORT.summary == f"{counts}; next is {job.job_id}: {reason.message}"


def test_nothing_is_counted_unless_it_is_reported() -> None:
    assert CycleReport(is_leader=True).summary == "0 queued, 0 admitted or running"
    assert CycleReport(is_leader=True).has_free_slot is False
    assert CycleReport(is_leader=True).has_just_ended is False


@pytest.mark.parametrize(
    "change",
    [
        {"is_leader": False},
        {"queued": 3},
        {"running": 2},
        {"head": None},
        {"head": (make_job("bob"), HEAD[1])},
        {"head": (HEAD[0], Reason(ReasonCode.RESOURCES_BUSY, HEAD[1].message))},
    ],
)
def test_news_is_who_leads_how_many_jobs_there_are_and_why_the_next_one_waits(
    change: dict[str, Any],
) -> None:
    assert replace(REPORT, **change).news != REPORT.news


def test_a_minute_more_of_waiting_is_no_news() -> None:
    """The message of a waiting job contains durations that change with every cycle."""
    later = (HEAD[0], Reason(HEAD[1].code, "1st in line; zoe_1 has been running for 2 minutes"))
    assert replace(REPORT, head=later).news == REPORT.news
    assert replace(REPORT, has_free_slot=True, has_just_ended=True).news == REPORT.news


def test_the_next_cycle_follows_quickly_if_a_job_has_just_ended_and_another_can_start() -> None:
    assert next_pause(HURRIED, 5.0) == HURRY_PAUSE_S == 0.25
    assert next_pause(replace(HURRIED, queued=1), 5.0) == HURRY_PAUSE_S


@pytest.mark.parametrize(
    "change",
    [{"is_leader": False}, {"queued": 0}, {"has_free_slot": False}, {"has_just_ended": False}],
)
def test_otherwise_the_pause_is_the_poll_interval(change: dict[str, Any]) -> None:
    assert next_pause(replace(HURRIED, **change), 5.0) == 5.0
