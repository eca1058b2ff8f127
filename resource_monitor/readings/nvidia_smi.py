"""This module reads the GPUs with the `nvidia-smi` command if NVML cannot be loaded."""

import re
import shutil
import subprocess
from collections.abc import Callable

from jobqueue.resources import NodeReasonCode
from resource_monitor.readings.reading import Fault, GpuReading, GpuReport

TIMEOUT_S = 5.0
#: Each reading starts a process, which without persistence mode wakes the driver.
MIN_PERIOD_S = 2.0
#: The name is last because it alone may contain a comma.
FIELDS = (
    "index,uuid,memory.used,memory.total,memory.free,"
    "utilization.gpu,power.draw,temperature.gpu,name"
)
COMMAND = ("nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits")

_COLUMNS = FIELDS.count(",") + 1
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(?:\s*(?:MiB|%|W|C))?")
_UNSUPPORTED = re.compile(
    r"\[?(N/A|Not Supported|Not Available|Insufficient Permissions)\]?", re.IGNORECASE
)


class NvidiaSmi:
    """`run` returns the command's exit code and output.

    It may raise OSError or subprocess.TimeoutExpired.
    """

    def __init__(self, run: Callable[[], tuple[int, str]] | None = None) -> None:
        self._run = run or _run

    def read(self) -> GpuReport:
        try:
            code, text = self._run()
        except subprocess.TimeoutExpired:
            return _fault(f"nvidia-smi did not answer within {TIMEOUT_S:g} s.")
        except OSError as error:
            return _fault(f"nvidia-smi cannot be run: {error.strerror}.")
        return parse(code, text)


def is_installed() -> bool:
    return shutil.which(COMMAND[0]) is not None


def parse(code: int, text: str) -> GpuReport:
    """Return the report in nvidia-smi's output; a line that does not describe a GPU is a fault."""
    gpus = []
    faults = []
    for line in filter(None, map(str.strip, text.splitlines())):
        cells = [cell.strip() for cell in line.split(",", _COLUMNS - 1)]
        if len(cells) == _COLUMNS and cells[0].isdecimal():
            gpus.append(_gpu(cells))
        else:
            faults.append(_complaint(line))
    if not gpus and not faults:
        message = f"nvidia-smi printed nothing and ended with exit code {code}."
        faults.append(Fault(NodeReasonCode.GPU_UNKNOWN, message))
    return GpuReport(tuple(gpus), tuple(faults[:1]), MIN_PERIOD_S)


def _gpu(cells: list[str]) -> GpuReading:
    fault = next(filter(_is_fault, cells[2:-1]), None)
    used, total, free, utilization, power, temperature = map(_number, cells[2:-1])
    return GpuReading(
        index=int(cells[0]),
        uuid=cells[1],
        name=cells[-1],
        memory_used_mb=used,
        memory_total_mb=total,
        memory_free_mb=free,
        utilization_percent=utilization,
        power_w=power,
        temperature_c=temperature,
        fault=fault and fault.strip("[]"),
        lost=fault is not None and "lost" in fault.lower(),
    )


def _is_fault(cell: str) -> bool:
    return not _NUMBER.fullmatch(cell) and not _UNSUPPORTED.fullmatch(cell)


def _number(cell: str) -> float | None:
    found = _NUMBER.fullmatch(cell)
    return float(found[1]) if found else None


def _complaint(line: str) -> Fault:
    lower = line.lower()
    if "no devices were found" in lower:
        return Fault(NodeReasonCode.NO_GPU, "nvidia-smi found no GPU on this node.")
    if "couldn't communicate with the nvidia driver" in lower or "version mismatch" in lower:
        return Fault(NodeReasonCode.NO_DRIVER, f"nvidia-smi reports: {line[:300]}")
    code = NodeReasonCode.GPU_LOST if "lost" in lower else NodeReasonCode.GPU_UNKNOWN
    return Fault(code, f"nvidia-smi reports: {line[:300]}")


def _fault(message: str) -> GpuReport:
    return GpuReport(
        faults=(Fault(NodeReasonCode.GPU_UNKNOWN, message),), min_period_s=MIN_PERIOD_S
    )


def _run() -> tuple[int, str]:
    done = subprocess.run(
        COMMAND,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
