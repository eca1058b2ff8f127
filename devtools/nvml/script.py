"""The fake NVML: compiles `libnvidia-ml.c`, and writes what it shall say; the C file lists the words.

`FakeNvml.env` goes into a process's environment; from then on the real nvidia-ml-py in it loads the fake.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("libnvidia-ml.c")
NOT_SUPPORTED, LOST, RESET_REQUIRED, VERSION_MISMATCH, UNKNOWN = 3, 15, 16, 18, 999
FLAGS = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


def compile_into(folder: Path) -> Path:
    """`folder`, with a libnvidia-ml.so.1 in it; a machine without a compiler fails with what to install."""
    compiler = shutil.which("cc")
    assert compiler, (
        "The fake NVML needs a C compiler: install the package gcc (Debian, Ubuntu: apt install gcc)."
    )
    library = folder / "libnvidia-ml.so.1"
    done = subprocess.run(
        [compiler, *FLAGS, "-o", str(library), str(SOURCE)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def gpu(
    number: int = 0, *, used: int = 2048, total: int = 24576, utilization: int = 3, more: str = ""
) -> str:
    """One GPU's lines; `more` are further ones, such as `error …` and `process …`."""
    return f"gpu {uuid(number)} NVIDIA H100\nmemory {used} {total}\nutilization {utilization}\n{more}\n"


def uuid(number: int) -> str:
    return f"GPU-{number:08x}-0000-0000-0000-000000000000"


def fails(code: int, *calls: str) -> str:
    """A GPU's lines that let these calls end with an NVML error (no call named: from the handle on)."""
    return "\n".join(f"error {call} {code}" for call in calls or ("DeviceGetHandleByIndex",))


@dataclass
class FakeNvml:
    """A folder with the library, and the file that it reads at each call."""

    folder: Path
    file: Path

    @property
    def env(self) -> dict[str, str]:
        return {"LD_LIBRARY_PATH": str(self.folder), "FAKE_NVML": str(self.file)}

    def says(self, *parts: str) -> None:
        """From now on; replaced in one step, because it may be read at any time."""
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{part}\n" for part in parts), encoding="utf-8")
        new.replace(self.file)
