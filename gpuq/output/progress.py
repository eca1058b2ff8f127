"""Show a job's progress on stderr: as a bar on a terminal, else as plain lines."""

import os
import sys
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from gpuq.output.text import duration, reason_text, say


class View(Protocol):
    """Shows what a Follower sees."""

    def phase(self, job: dict[str, Any]) -> None:
        """Show the job's phase and reason, if they have changed."""

    def metric(self, line: dict[str, Any]) -> None:
        """Show a line of metrics.jsonl."""

    def note(self, sentence: str) -> None:
        """Show a sentence."""

    def close(self) -> None:
        """Finish drawing."""


class PhaseView:
    """Prints a line whenever the job's phase, reason or position changes."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] = ()

    def phase(self, job: dict[str, Any]) -> None:
        # The reason's code and not its message, whose numbers change with every poll.
        key = (job["status"], job["reason"]["code"], job.get("position"))
        if key != self._shown:
            self._shown = key
            self.note(f"{job['status']}: {reason_text(job['reason'])}")

    def metric(self, line: dict[str, Any]) -> None:
        pass

    def note(self, sentence: str) -> None:
        say(sentence)

    def close(self) -> None:
        pass


class SilentView(PhaseView):
    """Prints nothing."""

    def note(self, sentence: str) -> None:
        pass


class EpochView(PhaseView):
    """Prints a line for each epoch as well."""

    def metric(self, line: dict[str, Any]) -> None:
        if _is_progress(line) and line["kind"] == "epoch":
            self.note(f"epoch {line['epoch']}/{line['epochs']}  {_numbers(line)}")


class BarView(PhaseView):
    """Draws the training as a bar that moves with the steps."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
        )
        # Drawn at each poll: a drawing thread would be unsafe in `gpuq up`, which forks.
        self._progress = Progress(*columns, console=console, auto_refresh=False)
        self._task: TaskID | None = None

    def metric(self, line: dict[str, Any]) -> None:
        if not _is_progress(line):
            return
        if self._task is None:
            self._task = self._progress.add_task("", total=line["epochs"], numbers="")
        done = (
            line["epoch"] - 1 + line["step"] / line["steps"]
            if line["kind"] == "step"
            else line["epoch"]
        )
        where = f"epoch {line['epoch']}/{line['epochs']}"
        self._progress.update(self._task, completed=done, description=where, numbers=_numbers(line))
        self._progress.start()
        self._progress.refresh()

    def note(self, sentence: str) -> None:
        self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()


def pick_view() -> View:
    """Return a bar if stderr is a terminal that can draw one, else lines."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return BarView(Console(stderr=True))
    return EpochView()


def _is_progress(line: dict[str, Any]) -> bool:
    """Tell whether this is a progress line of our trainer; other trainers write other lines."""
    needed = _PROGRESS_KEYS.get(line.get("kind", ""))
    return needed is not None and needed <= line.keys()


_PROGRESS_KEYS = {
    "epoch": {"epoch", "epochs", "loss"},
    "step": {"epoch", "epochs", "step", "steps", "loss"},
}


def _numbers(line: dict[str, Any]) -> str:
    parts = [f"loss {line['loss']:.3g}"]
    if line.get("top1") is not None:
        parts.append(f"top1 {line['top1']:.1f} %")
    if line.get("best_top1") is not None:
        parts.append(f"(best {line['best_top1']:.1f} %)")
    if line.get("eta_s") is not None:
        parts.append(f"{duration(line['eta_s'])} left")
    return "  ".join(parts)
