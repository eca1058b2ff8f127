"""Starts services in order, starts again what dies, and stops all of them in order."""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gpuq.errors import GpuqFailure, Interrupted
from gpuq.output.text import indented, say
from gpuq.up import process
from gpuq.up.services import STOP_ORDER, Service

READY_S = 60.0
STOP_S = 8.0
#: A training gets 30 s for its checkpoint from its runner, which then kills it.
TRAINING_STOP_S = 35.0
MOST_PAUSE_S = 30.0
#: A service that has run for so long was sound: its next death is the first one again.
SOUND_S = 60.0
POLL_S = 0.1
LOG_LINES = 8
_LOG_KEPT_BYTES = 20 * 1024**2


class Child:
    """A service and its process, over all its restarts."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service, self.log = service, log
        self.process: subprocess.Popen[bytes] | None = None
        self.pause_s = 1.0
        self._log_start, self._started_at, self._start_at = 0, 0.0, 0.0

    def start(self) -> None:
        _keep_small(self.log)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._started_at = time.monotonic()
        service = self.service
        self.process = process.spawn(service.argv, service.env, self.log, service.pass_fds)

    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self.process is None else self.process.poll()

    def look(self) -> None:
        """Start it again where it has died, after a pause that grows with every death."""
        if self.process is not None and self.process.poll() is not None:
            self._plan_restart(self.process.returncode)
        if self.process is None and time.monotonic() >= self._start_at:
            self.start()

    def last_words(self) -> str:
        """The end of what this process wrote to its log."""
        with self.log.open("rb") as file:
            file.seek(max(self._log_start, self.log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
        return f"Last lines of {self.log}:\n{indented(lines[-LOG_LINES:] or ['(nothing)'])}"

    def _plan_restart(self, code: int) -> None:
        if time.monotonic() - self._started_at > SOUND_S:
            self.pause_s = 1.0
        say(
            f"{self.service.name} {how_it_ended(code)}; starting it again in {self.pause_s:.0f} s. {self.last_words()}"
        )
        self._start_at = time.monotonic() + self.pause_s
        self.pause_s = min(2 * self.pause_s, MOST_PAUSE_S)
        self.process = None


class Supervisor:
    """All services of one `gpuq up`; `signals` counts the requests to stop: the second one cuts all waiting."""

    def __init__(self, services: Sequence[Service], logs: Path, signals: list[int]) -> None:
        self._children = [Child(service, logs / f"{service.name}.log") for service in services]
        self._signals = signals

    def start(self) -> None:
        """One after the other, each when the one before is ready; raises GpuqFailure, Interrupted."""
        for child in self._children:
            child.start()
            self._wait_ready(child)

    def watch(self, is_over: Callable[[], bool]) -> None:
        """Until `is_over()`, which is asked about ten times a second, or a signal."""
        while not self._signals and not is_over():
            for child in self._children:
                child.look()
            process.reap_orphans({child.process.pid for child in self._children if child.process})
            time.sleep(POLL_S)

    def stop(self, lifeline: process.Lifeline) -> None:
        """The services in their order; the trainings' runners, which need none of them, as soon as no scheduler is left
        that would start another."""
        by_name = {child.service.name: child for child in self._children}
        processes = {
            name: started for name in STOP_ORDER if (started := by_name[name].process) is not None
        }
        if processes:
            say(f"Stopping {', '.join(processes)} …")
        for name, started in processes.items():
            process.end(started, lambda: self._patience(STOP_S))
            if name == "scheduler":
                lifeline.cut()
        lifeline.cut()
        process.end_orphans(lambda: self._patience(TRAINING_STOP_S), say)

    def _wait_ready(self, child: Child) -> None:
        deadline = time.monotonic() + READY_S
        while (trouble := child.service.trouble()) is not None:
            if self._signals:
                raise Interrupted("Stopped before everything had started.")
            if (code := child.exit_code()) is not None:
                raise GpuqFailure(
                    f"{child.service.name} did not start: it {how_it_ended(code)}. {child.last_words()}"
                )
            if time.monotonic() > deadline:
                raise GpuqFailure(
                    f"{child.service.name} was not ready within {READY_S:.0f} s: {trouble} {child.last_words()}"
                )
            time.sleep(POLL_S)

    def _patience(self, seconds: float) -> float:
        return seconds if len(self._signals) < 2 else 0.0


def how_it_ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _keep_small(log: Path) -> None:
    """A log that has grown large is put aside; one such file is kept."""
    if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))
