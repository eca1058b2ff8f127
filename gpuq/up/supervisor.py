"""Start services in order, restart those that die, and stop all of them in order."""

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
#: A training's runner gives it 30 s for its checkpoint and then kills it.
TRAINING_STOP_S = 35.0
MOST_PAUSE_S = 30.0
#: After running this long a service counts as healthy: its pauses start from the beginning.
HEALTHY_S = 60.0
POLL_S = 0.1
LOG_LINES = 8
_LOG_KEPT_BYTES = 20 * 1024**2


class Child:
    """A service and its process, across restarts."""

    def __init__(self, service: Service, log: Path) -> None:
        self.service = service
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.pause_s = 1.0
        self._log_start = 0
        self._started_at = 0.0
        self._start_at = 0.0

    def start(self) -> None:
        """Start the process."""
        _rotate(self.log)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._started_at = time.monotonic()
        service = self.service
        self.process = process.spawn(service.argv, service.env, self.log, service.pass_fds)

    def exit_code(self) -> int | None:
        """Return the exit code, None while it runs."""
        return None if self.process is None else self.process.poll()

    def check(self) -> None:
        """Restart it if it has died, after a pause that grows with every death."""
        if self.process is not None and self.process.poll() is not None:
            self._plan_restart(self.process.returncode)
        if self.process is None and time.monotonic() >= self._start_at:
            self.start()

    def log_end(self) -> str:
        """Return the last lines that this process wrote to its log."""
        with self.log.open("rb") as file:
            file.seek(max(self._log_start, self.log.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
        return f"Last lines of {self.log}:\n{indented(lines[-LOG_LINES:] or ['(nothing)'])}"

    def _plan_restart(self, code: int) -> None:
        if time.monotonic() - self._started_at > HEALTHY_S:
            self.pause_s = 1.0
        say(
            f"{self.service.name} {how_it_ended(code)}; restarting it in {self.pause_s:.0f} s. "
            f"{self.log_end()}"
        )
        self._start_at = time.monotonic() + self.pause_s
        self.pause_s = min(2 * self.pause_s, MOST_PAUSE_S)
        self.process = None


class Supervisor:
    """All services of one `gpuq up`; `signals` are requests to stop: the second ends all waits."""

    def __init__(self, services: Sequence[Service], logs: Path, signals: list[int]) -> None:
        self._children = [Child(service, logs / f"{service.name}.log") for service in services]
        self._signals = signals

    def start(self) -> None:
        """Start one after the other, each when the previous one is ready.

        Raises GpuqFailure, Interrupted.
        """
        for child in self._children:
            child.start()
            self._wait_ready(child)

    def watch(self, is_over: Callable[[], bool]) -> None:
        """Restart what dies until a signal, or `is_over()`, which is called ten times a second."""
        while not self._signals and not is_over():
            for child in self._children:
                child.check()
            process.reap_orphans({child.process.pid for child in self._children if child.process})
            time.sleep(POLL_S)

    def stop(self, lifeline: process.Lifeline) -> None:
        """Stop the services in order.

        The trainings' runners need no service; they are stopped once no scheduler can start more.
        """
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
        name = child.service.name
        while (problem := child.service.problem()) is not None:
            if self._signals:
                raise Interrupted("Stopped before all services had started.")
            if (code := child.exit_code()) is not None:
                ended = how_it_ended(code)
                raise GpuqFailure(f"{name} did not start: it {ended}. {child.log_end()}")
            if time.monotonic() > deadline:
                late = f"{name} was not ready within {READY_S:.0f} s"
                raise GpuqFailure(f"{late}: {problem} {child.log_end()}")
            time.sleep(POLL_S)

    def _patience(self, seconds: float) -> float:
        return seconds if len(self._signals) < 2 else 0.0


def how_it_ended(code: int) -> str:
    """Return an exit code as words that follow the process's name."""
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _rotate(log: Path) -> None:
    """Rename a log that has grown large; one such file is kept."""
    if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))
