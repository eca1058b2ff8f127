"""The server's side of the sampler: it keeps one sampler process running and its last samples.

A process that is silent for `patience_s` is killed and abandoned (a call stuck in the kernel does
not die), and a new one is started, but not while MOST_ABANDONED stuck ones still exist.
"""

import os
import select
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

from jobqueue.resources import NodeReasonCode
from jobqueue.service.log import get_logger
from resource_monitor.decision import LONGEST_WINDOW_S
from resource_monitor.readings.reading import Sample

PATIENCE_S = 15.0  # opening NVML takes seconds on a node of eight GPUs without persistence mode
PAUSES_S = (0.2, 1.0, 5.0, 30.0)  # before the next process, by how many in a row gave no sample
MOST_ABANDONED = 3
LONGEST_LINE = 2**20

SAMPLER = "sampler"

log = get_logger(__name__)


def command(period_s: float) -> list[str]:
    """Return the command of the sampler process, which writes a sample every `period_s`."""
    return [sys.executable, "-m", "resource_monitor.sampler_process", str(period_s)]


def _errors(sample: Sample) -> set[str]:
    """Return the codes of what could not be read; a node without a GPU is not an error."""
    codes = {
        str(fault.code) for fault in sample.report.faults if fault.code != NodeReasonCode.NO_GPU
    }
    for gpu in sample.report.gpus:
        if gpu.fault:
            codes.add(str(NodeReasonCode.GPU_LOST if gpu.lost else NodeReasonCode.GPU_UNKNOWN))
    return codes


class _Failed(Exception):
    """The sampler process has to be replaced; the message is what it did."""


class Sampler:
    """`samples` and `problem` may be read from any thread at any time, and never wait."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        patience_s: float = PATIENCE_S,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._argv = argv
        self._patience_s = patience_s
        self._pauses_s = pauses_s
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._abandoned: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._keep_sampling, name="sampler", daemon=True)
        #: The newest sample and those up to LONGEST_WINDOW_S before it, oldest first. The tuple is
        #: replaced and never changed.
        self.samples: tuple[Sample, ...] = ()
        #: How the last sampler process failed, until another one gives a sample.
        self.problem: str | None = None
        #: How many samples had an error, by its code; SAMPLER counts the replaced processes.
        self.errors: Counter[str] = Counter()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Kill the sampler process; returns within a second even if it is stuck."""
        self._stopping.set()
        if self._process:
            self._process.kill()
        self._thread.join(1.0)

    def _keep_sampling(self) -> None:
        in_vain = 0
        while not self._stopping.is_set():
            if self._count_abandoned() < MOST_ABANDONED:
                in_vain = 0 if self._run_one() else in_vain + 1
            self._stopping.wait(self._pauses_s[min(in_vain, len(self._pauses_s) - 1)])

    def _count_abandoned(self) -> int:
        self._abandoned = [process for process in self._abandoned if process.poll() is None]
        return len(self._abandoned)

    def _run_one(self) -> bool:
        """Follow one sampler process to its end; return whether it gave any sample."""
        before = self.samples
        process = None
        try:
            process = self._start_process()
            for line in self._lines(process):
                self._keep(line)
        except _Failed as failure:
            if not self._stopping.is_set():
                self._report(str(failure))
        finally:
            if process:
                self._end(process)
        return self.samples is not before

    def _start_process(self) -> subprocess.Popen[bytes]:
        # In a session of its own: the server handles Ctrl-C, and the sampler ends with its stdin.
        try:
            self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:  # for example, the node has no free process or memory now
            raise _Failed(f"the sampler process cannot be started ({error.strerror})") from None
        return self._process

    def _report(self, problem: str) -> None:
        self.problem = problem
        self.errors[SAMPLER] += 1
        log.warning("Sampler process replaced.", why=problem)

    def _lines(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        assert process.stdout
        descriptor = process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        buffer = b""
        while not self._stopping.is_set():
            if not poll.poll(self._patience_s * 1000):
                silence = f"was silent for {self._patience_s:g} s (a driver call may hang)"
                raise _Failed(f"the sampler process {silence}")
            chunk = os.read(descriptor, 2**16)
            if not chunk:
                raise _Failed("the sampler process ended")
            if len(buffer) > LONGEST_LINE:
                raise _Failed("the sampler process wrote no lines")
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from lines

    def _keep(self, line: bytes) -> None:
        try:
            newest = Sample.decode(line)
        except (ValueError, KeyError, TypeError):
            raise _Failed("the sampler process wrote something that is not a sample") from None
        since = newest.at - LONGEST_WINDOW_S
        recent = tuple(sample for sample in self.samples if sample.at >= since)
        self.samples = (*recent, newest)
        self.problem = None
        self.errors.update(_errors(newest))

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._abandoned.append(process)
