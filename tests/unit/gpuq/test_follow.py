"""Following a job across a restart of the server, and the two ways to show it."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from gpuq.errors import TrainingFailed, Unreachable
from gpuq.output.progress import BarView, PhaseView
from gpuq.remote.client import Metrics
from gpuq.remote.follow import PATIENCE_S, Follower, outcome


class FakeClient:
    """Returns these records in turn, and raises exceptions."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.since: list[int] = []

    def job(self, job_id: str) -> Any:
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def metrics(self, job_id: str, since: int) -> Metrics:
        self.since.append(since)
        return Metrics([{"kind": "epoch", "best_top1": 50.0 + since}], since + 10)


class Notes(PhaseView):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


UNREACHABLE = Unreachable("Nobody there.")


def follower(client: FakeClient, view: PhaseView, *times: float) -> Follower:
    ticks = iter(times)
    return Follower(client, "ann_1", view, clock=lambda: next(ticks))  # type: ignore[arg-type]


def test_a_server_that_comes_back_is_not_a_failure(make_job: Callable[..., Any]) -> None:
    view = Notes()
    done = make_job("succeeded")
    following = follower(
        FakeClient(UNREACHABLE, UNREACHABLE, make_job(), UNREACHABLE, done),
        view,
        0,
        1,
        PATIENCE_S * 2,
    )
    assert [following.poll() for _ in range(5)] == [None, None, None, None, done]
    notes = [note for note in view.notes if note.startswith("Nobody there.")]
    assert len(notes) == 2  # one for each outage


def test_a_server_that_stays_unreachable_ends_the_wait() -> None:
    following = follower(FakeClient(UNREACHABLE), Notes(), 0, PATIENCE_S, PATIENCE_S + 1)
    assert following.poll() is None
    assert following.poll() is None
    with pytest.raises(Unreachable):
        following.poll()


def test_metrics_continue_where_the_last_answer_ended(make_job: Callable[..., Any]) -> None:
    client = FakeClient(make_job())
    following = follower(client, Notes())
    following.poll()
    following.poll()
    assert client.since == [0, 10]
    assert following.best_top1 == 60.0


def test_a_reason_whose_numbers_change_is_shown_once(make_job: Callable[..., Any]) -> None:
    view = Notes()
    for percent in (91, 92, 93):
        view.phase(make_job("queued", "resources_busy", f"GPU 0 is at {percent} %", position=1))
    view.phase(make_job("queued", "resources_busy", "GPU 0 is at 93 %", position=2))
    assert view.notes == ["queued: GPU 0 is at 91 %", "queued: GPU 0 is at 93 %"]


def test_the_bar_moves_with_steps_and_ignores_other_lines() -> None:
    screen = io.StringIO()
    bar = BarView(Console(file=screen, force_terminal=True, width=100, color_system=None))
    # The trainer of another template may leave fields out.
    bar.metric({"kind": "epoch", "epoch": 1})
    bar.metric({"kind": "telemetry", "gpu": 3})
    assert screen.getvalue() == ""
    bar.metric(
        {"kind": "step", "epoch": 2, "epochs": 4, "step": 5, "steps": 10, "loss": 0.25, "eta_s": 9}
    )
    bar.metric(
        {
            "kind": "epoch",
            "epoch": 2,
            "epochs": 4,
            "loss": 0.2,
            "top1": 88.0,
            "best_top1": 90.0,
            "eta_s": 5,
        }
    )
    bar.note("running: [bold]unchanged[/bold]")
    bar.close()
    shown = screen.getvalue()
    assert "epoch 2/4" in shown
    assert "loss 0.25  9s left" in shown
    assert "top1 88.0 %  (best 90.0 %)" in shown
    assert "[bold]unchanged[/bold]" in shown


def test_the_reason_is_shown_with_its_log_line(make_job: Callable[..., Any]) -> None:
    view = Notes()
    view.phase(make_job("failed", "bad_config", "The config was refused.", "no key lr"))
    assert view.notes == ["failed: The config was refused: no key lr"]


def test_a_failure_is_reported_with_its_log_line(make_job: Callable[..., Any]) -> None:
    failed = make_job("failed", "bad_config", "The config was refused.", "no key lr")
    with pytest.raises(TrainingFailed, match=r"failed: The config was refused: no key lr$"):
        outcome(failed, None)
