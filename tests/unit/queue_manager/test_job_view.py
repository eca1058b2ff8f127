"""What a job's brief form shows to whom: a quoted log line only to those who may read the log."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devtools.testbed.fakes import NOW
from jobqueue.job import Job, JobSpec
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from queue_manager.forecast.wait import Outlook
from queue_manager.views.job_view import JobView

SECRET = "no such file: /data/ann/secret.pkl"


def make_job(phase: Phase, reason: Reason) -> Job:
    """A job of ann."""
    return Job("ann_1", JobSpec("ann", "c.yaml", "/data/ann"), "", phase, reason, NOW, NOW)


def view_of(caller: str) -> JobView:
    """The view as `caller` gets it."""
    outlook = Outlook(slots=1, left_s={}, ahead_s=[], average_s=None)
    return JobView(NOW, outlook, None, {"ann_1": 1}, lambda user: user == caller)


@given(
    code=st.sampled_from(ReasonCode),
    phase=st.sampled_from(Phase),
    message=st.text() | st.sampled_from(["It failed: really.", "a: b: c", ": ", ""]),
)
def test_no_wording_shows_the_log_line_to_another_user(
    code: ReasonCode, phase: Phase, message: str
) -> None:
    job = make_job(phase, Reason(code, message, SECRET))
    shown = view_of("bob").brief(job)
    assert shown["reason"] == {"code": code, "message": message, "detail": ""}
    assert SECRET not in json.dumps(shown)


@pytest.mark.parametrize("phase", list(Phase))
def test_the_user_sees_message_and_log_line(phase: Phase) -> None:
    reason = Reason(ReasonCode.TRAINING_FAILED, "The training failed.", SECRET)
    assert view_of("ann").brief(make_job(phase, reason))["reason"] == reason.to_dict()


def test_a_record_hides_the_log_line_as_well() -> None:
    reason = Reason(ReasonCode.TRAINING_FAILED, "The training failed.", SECRET)
    assert SECRET not in json.dumps(view_of("bob").record(make_job(Phase.FAILED, reason)))
