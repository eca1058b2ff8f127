"""This module compiles the fake NVML (`libnvidia-ml.c`) and writes the script that it follows.

A process with `FakeNvml.env` in its environment loads the fake through the real nvidia-ml-py. The C
file lists the words of the script.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("libnvidia-ml.c")
NOT_SUPPORTED, LOST, RESET_REQUIRED, VERSION_MISMATCH, UNKNOWN = 3, 15, 16, 18, 999
FLAGS = ("-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")


def compile_into(folder: Path) -> Path:
    """Compile libnvidia-ml.so.1 into `folder` and return the folder."""
    compiler = shutil.which("cc")
    assert compiler, "The fake NVML needs a C compiler (Debian and Ubuntu: apt install gcc)."
    library = folder / "libnvidia-ml.so.1"
    done = subprocess.run(
        [compiler, *FLAGS, "-o", str(library), str(SOURCE)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def gpu(
    number: int = 0, *, used: int = 2048, total: int = 24576, utilization: int = 3, more: str = ""
) -> str:
    """Return the lines of one GPU; `more` are others, such as `error …` and `process …`."""
    name = f"gpu {uuid(number)} NVIDIA H100"
    return f"{name}\nmemory {used} {total}\nutilization {utilization}\n{more}\n"


def uuid(number: int) -> str:
    return f"GPU-{number:08x}-0000-0000-0000-000000000000"


def fails(code: int, *calls: str) -> str:
    """Return the lines that make a GPU's calls (by default, all) fail with an NVML error."""
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
        """Replace the script, in one step because it may be read at any time."""
        new = self.file.with_suffix(".new")
        new.write_text("".join(f"{part}\n" for part in parts), encoding="utf-8")
        new.replace(self.file)
