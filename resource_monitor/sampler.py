"""The server's side of the sampler: keeps one sampler process going, and its last samples at hand.

A process that says nothing for `patience_s` is killed and left behind (a call stuck in the kernel does not die), and a
new one is tried, but not while MOST_LEFT_BEHIND stuck ones are still there.
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

PATIENCE_S = 15.0  # opening NVML on a node with eight GPUs and no persistence mode takes seconds
PAUSES_S = (0.2, 1.0, 5.0, 30.0)  # before the next process, by how many in a row gave no sample
MOST_LEFT_BEHIND = 3
LONGEST_LINE = 2**20

SAMPLER = "sampler"

log = get_logger(__name__)


def command(period_s: float) -> list[str]:
    """The sampler process for this machine, with a sample every `period_s`."""
    return [sys.executable, "-m", "resource_monitor.sampler_process", str(period_s)]


def _errors(sample: Sample) -> set[str]:
    """The codes of what could not be read; that a node has no GPU is no error."""
    codes = {
        str(fault.code) for fault in sample.report.faults if fault.code != NodeReasonCode.NO_GPU
    }
    for gpu in sample.report.gpus:
        if gpu.fault:
            codes.add(str(NodeReasonCode.GPU_LOST if gpu.lost else NodeReasonCode.GPU_UNKNOWN))
    return codes


class _Failed(Exception):
    """This sampler process is of no more use; the text says what it did."""


class Sampler:
    """`samples` and `trouble` may be read from any thread at any time, and never wait."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        patience_s: float = PATIENCE_S,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._argv, self._patience_s, self._pauses_s = argv, patience_s, pauses_s
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._left_behind: list[subprocess.Popen[bytes]] = []
        self._thread = threading.Thread(target=self._keep_going, name="sampler", daemon=True)
        #: The newest sample and those up to LONGEST_WINDOW_S before it, oldest first; replaced, never changed.
        self.samples: tuple[Sample, ...] = ()
        #: What became of the last sampler process, until another gives a sample.
        self.trouble: str | None = None
        #: How many samples had an error, by its code; SAMPLER counts the processes that were of no more use.
        self.errors: Counter[str] = Counter()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Kill the sampler process; returns within a second even if it is stuck."""
        self._stopping.set()
        if self._process:
            self._process.kill()
        self._thread.join(1.0)

    def _keep_going(self) -> None:
        in_vain = 0
        while not self._stopping.is_set():
            if self._count_left_behind() < MOST_LEFT_BEHIND:
                in_vain = 0 if self._run_one() else in_vain + 1
            self._stopping.wait(self._pauses_s[min(in_vain, len(self._pauses_s) - 1)])

    def _count_left_behind(self) -> int:
        self._left_behind = [process for process in self._left_behind if process.poll() is None]
        return len(self._left_behind)

    def _run_one(self) -> bool:
        """Follow one sampler process to its end; whether it gave any sample."""
        before = self.samples
        # A session of its own: Ctrl-C is the server's to handle, the sampler ends with its standard input.
        try:
            process = self._process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:  # no process or memory to be had now; later there may be
            self._tell(f"the sampler process cannot be started ({error.strerror})")
            return False
        try:
            for line in self._lines(process):
                self._keep(line)
        except _Failed as failure:
            if not self._stopping.is_set():
                self._tell(str(failure))
        finally:
            self._leave_behind(process)
        return self.samples is not before

    def _tell(self, trouble: str) -> None:
        self.trouble = trouble
        self.errors[SAMPLER] += 1
        log.warning("The sampler process is replaced", why=trouble)

    def _lines(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        assert process.stdout
        descriptor, buffer = process.stdout.fileno(), b""
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not self._stopping.is_set():
            if not poll.poll(self._patience_s * 1000):
                raise _Failed(
                    f"the sampler process was silent for {self._patience_s:g} s (a driver call may hang)"
                )
            chunk = os.read(descriptor, 2**16)
            if not chunk or len(buffer) > LONGEST_LINE:
                raise _Failed(
                    "the sampler process ended"
                    if not chunk
                    else "the sampler process wrote no lines"
                )
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from lines

    def _keep(self, line: bytes) -> None:
        try:
            newest = Sample.decode(line)
        except (ValueError, KeyError, TypeError):
            raise _Failed("the sampler process wrote something that is no sample") from None
        recent = tuple(
            sample for sample in self.samples if sample.at >= newest.at - LONGEST_WINDOW_S
        )
        self.samples, self.trouble = (*recent, newest), None
        self.errors.update(_errors(newest))

    def _leave_behind(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            self._left_behind.append(process)
