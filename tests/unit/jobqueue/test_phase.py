"""Which phases there are, and which may follow which."""

import pytest

from jobqueue.phase import FINISHED, TRANSITIONS, Phase

QUEUED, ADMITTED, RUNNING, SUCCEEDED, FAILED, CANCELLED = Phase
FOLLOWING = {
    QUEUED: {ADMITTED, CANCELLED, FAILED},
    ADMITTED: {RUNNING, QUEUED, FAILED, CANCELLED},
    RUNNING: {SUCCEEDED, FAILED, CANCELLED, QUEUED},
    SUCCEEDED: set(),
    FAILED: {QUEUED},
    CANCELLED: {QUEUED},
}


def test_records_and_answers_use_these_words() -> None:
    words = ["queued", "admitted", "running", "succeeded", "failed", "cancelled"]
    assert [phase.value for phase in Phase] == words


@pytest.mark.parametrize("phase", Phase)
def test_each_phase_has_the_phases_that_may_follow(phase: Phase) -> None:
    assert TRANSITIONS[phase] == FOLLOWING[phase]


@pytest.mark.parametrize("phase", Phase)
def test_a_job_waits_or_holds_a_slot_or_is_finished(phase: Phase) -> None:
    assert phase.holds_slot is (phase in (ADMITTED, RUNNING))
    assert phase.is_finished is (phase in (SUCCEEDED, FAILED, CANCELLED))
    assert phase.is_finished is (phase in FINISHED)
