"""How a job is shown while it goes on: a bar on a terminal, else plain lines; always on stderr."""

import os
import sys
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from gpuq.output.text import duration, say


class View(Protocol):
    """What a Follower shows things on."""

    def phase(self, job: dict[str, Any]) -> None: ...

    def metric(self, line: dict[str, Any]) -> None: ...

    def note(self, sentence: str) -> None: ...

    def close(self) -> None: ...


class Phases:
    """A line whenever the job's phase, its reason or its position changes; the training itself stays silent."""

    def __init__(self) -> None:
        self._shown: tuple[Any, ...] = ()

    def phase(self, job: dict[str, Any]) -> None:
        # The reason's code, not its sentence: the numbers in that change with every look.
        key = (job["status"], job["reason"]["code"], job.get("position"))
        if key != self._shown:
            self._shown = key
            self.note(f"{job['status']}: {job['reason']['message']}")

    def metric(self, line: dict[str, Any]) -> None:
        pass

    def note(self, sentence: str) -> None:
        say(sentence)

    def close(self) -> None:
        pass


class Silence(Phases):
    """Nothing at all."""

    def note(self, sentence: str) -> None:
        pass


class Lines(Phases):
    """And a line for each epoch."""

    def metric(self, line: dict[str, Any]) -> None:
        if _is_progress(line) and line["kind"] == "epoch":
            self.note(f"epoch {line['epoch']}/{line['epochs']}  {_numbers(line)}")


class Bar(Phases):
    """And the training as a bar, which moves with the steps."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[numbers]}"),
        )
        # Drawn at each look: a thread that draws by itself would be in the way of `gpuq up`, which forks.
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
    """The bar where stderr is a terminal that can draw one."""
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Bar(Console(stderr=True))
    return Lines()


def _is_progress(line: dict[str, Any]) -> bool:
    """Whether it is one of the trainer's two lines of progress; another template's trainer may write what it likes."""
    needed = {
        "epoch": {"epoch", "epochs", "loss"},
        "step": {"epoch", "epochs", "step", "steps", "loss"},
    }
    return needed.get(line.get("kind", ""), {"nothing of the kind"}) <= line.keys()


def _numbers(line: dict[str, Any]) -> str:
    parts = [f"loss {line['loss']:.3g}"]
    if line.get("top1") is not None:
        parts.append(f"top1 {line['top1']:.1f} %")
    if line.get("best_top1") is not None:
        parts.append(f"(best {line['best_top1']:.1f} %)")
    if line.get("eta_s") is not None:
        parts.append(f"{duration(line['eta_s'])} left")
    return "  ".join(parts)
