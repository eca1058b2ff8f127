"""Following a job over a restart of the server, and the two ways to show it."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from gpuq.errors import Unreachable
from gpuq.output.progress import Bar, Phases
from gpuq.remote.client import Metrics
from gpuq.remote.follow import PATIENCE_S, Follower


class FakeClient:
    """Gives these records in turn; an exception is raised."""

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


class Notes(Phases):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)


AWAY = Unreachable("Nobody there.")


def follower(client: FakeClient, view: Phases, *times: float) -> Follower:
    ticks = iter(times)
    return Follower(client, "ann_1", view, clock=lambda: next(ticks))  # type: ignore[arg-type]


def test_a_server_that_comes_back_is_no_failure(make_job: Callable[..., Any]) -> None:
    view = Notes()
    done = make_job("succeeded")
    following = follower(FakeClient(AWAY, AWAY, make_job(), AWAY, done), view, 0, 1, PATIENCE_S * 2)
    assert [following.look() for _ in range(5)] == [None, None, None, None, done]
    assert (
        len([note for note in view.notes if note.startswith("Nobody there.")]) == 2
    )  # once for each time


def test_a_server_that_stays_away_ends_the_wait() -> None:
    following = follower(FakeClient(AWAY), Notes(), 0, PATIENCE_S, PATIENCE_S + 1)
    assert following.look() is None
    assert following.look() is None
    with pytest.raises(Unreachable):
        following.look()


def test_metrics_are_read_on_from_where_the_last_answer_ended(make_job: Callable[..., Any]) -> None:
    client = FakeClient(make_job())
    following = follower(client, Notes())
    following.look()
    following.look()
    assert client.since == [0, 10]
    assert following.best_top1 == 60.0


def test_a_reason_whose_numbers_change_is_said_once(make_job: Callable[..., Any]) -> None:
    view = Notes()
    for percent in (91, 92, 93):
        view.phase(make_job("queued", "resources_busy", f"GPU 0 is at {percent} %", position=1))
    view.phase(make_job("queued", "resources_busy", "GPU 0 is at 93 %", position=2))
    assert view.notes == ["queued: GPU 0 is at 91 %", "queued: GPU 0 is at 93 %"]


def test_the_bar_moves_with_steps_and_leaves_the_lines_of_strangers_alone() -> None:
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, width=100, color_system=None))
    bar.metric(
        {"kind": "epoch", "epoch": 1}
    )  # another template's trainer: no loss, no number of epochs
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
    bar.note("running: [bold]as it is[/bold]")
    bar.close()
    shown = screen.getvalue()
    assert "epoch 2/4" in shown
    assert "loss 0.25  9s left" in shown
    assert "top1 88.0 %  (best 90.0 %)" in shown
    assert "[bold]as it is[/bold]" in shown
