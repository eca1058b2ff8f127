"""What a cycle reports, and the pause that follows from it."""

from dataclasses import replace

import pytest

from devtools.testbed.fakes import make_job
from jobqueue.reason import Reason, ReasonCode
from scheduler.decide.report import HURRY_PAUSE_S, CycleReport, next_pause

BUSY = Reason(ReasonCode.RESOURCES_BUSY, "1st in line; gpu-1: GPU 0 is at 93 %")
HURRY = CycleReport(
    True, queued=2, running=1, head=(make_job(), BUSY), has_free_slot=True, has_just_ended=True
)


def test_a_job_that_waits_is_tried_quickly_after_an_end() -> None:
    assert next_pause(HURRY, 10) == HURRY_PAUSE_S


@pytest.mark.parametrize(
    "change",
    [{"queued": 0}, {"has_free_slot": False}, {"has_just_ended": False}, {"is_leader": False}],
)
def test_otherwise_the_pause_is_the_poll_interval(change: dict[str, object]) -> None:
    assert next_pause(replace(HURRY, **change), 10) == 10


def test_the_summary_names_the_next_job_and_why_it_waits() -> None:
    assert HURRY.summary == (
        "2 queued, 1 admitted or running; next is ann_20261124120001: 1st in line; gpu-1: GPU 0 is "
        "at 93 %"
    )
    assert replace(HURRY, head=None).summary == "2 queued, 1 admitted or running"
    assert CycleReport(False).summary == "Standing by; another scheduler is the leader."


def test_another_number_in_a_reason_is_no_news_but_another_reason_is() -> None:
    same = replace(HURRY, head=(make_job(), replace(BUSY, message="1st in line; 94 %")))
    full = replace(HURRY, head=(make_job(), Reason(ReasonCode.SLOTS_FULL, "1st in line")))
    assert same.news == HURRY.news
    assert full.news != HURRY.news
    assert replace(HURRY, queued=3).news != HURRY.news
    assert replace(HURRY, is_leader=False).news != HURRY.news
