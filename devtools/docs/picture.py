"""Draw docs/queue.svg: what the real command prints about a real queue (`make picture`).

A whole system runs on this machine while the picture is taken. Only its GPUs are scripted: the
monitor loads the tests' NVML, which shows three of them. The command runs in a terminal of a fixed
size, so that it wraps and colours as it does for a person.
"""

import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from devtools import ROOT
from devtools.nvml.script import FakeNvml, compile_into, gpu
from devtools.testbed.system import System, running_system
from jobqueue.clock import rfc3339
from jobqueue.store import keys

PICTURE = ROOT / "docs" / "queue.svg"
COLUMNS = 116
CONFIGS = ("ntu60_xsub_j.yaml", "ntu60_xsub_b.yaml", "k400_jm.yaml")
RUN_TIME_S = 5400
OUTSIDE = "process 48213 21400"  # its number, and its memory in MiB

#: Dark and bright on a page of either colour.
THEME = TerminalTheme(
    (13, 17, 23),
    (201, 209, 217),
    [
        (139, 148, 158),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
)
#: Rich's own format loads a font from another host; this one uses fonts of the reader's machine.
SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; white-space: pre;
}}
.{unique_id}-title {{ font: bold 18px Helvetica, Arial, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass(frozen=True)
class Scene:
    """A system that runs, and the script of its GPUs."""

    system: System
    nvml: FakeNvml

    def gpus(self, *parts: str) -> None:
        """Replace what the GPUs report, and wait until the monitor's window shows nothing else."""
        self.nvml.says(*parts)
        time.sleep(3)

    def submit(self, user: str, config: str) -> str:
        """Submit a job and return its id; raises AssertionError if it is refused."""
        answer = self.system.submit(user, config)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def started_ago(self, job_id: str, seconds: float) -> None:
        """Make a running job look as if it had started `seconds` ago."""
        with redis.Redis(port=self.system.redis_port) as client:
            client.hset(keys.job(job_id), "started_at", rfc3339(time.time() - seconds))

    def command(self, line: str) -> str:
        """Run one command line in a terminal; returns the prompt, the line and the output."""
        return f"\x1b[90m$\x1b[0m \x1b[1m{line}\x1b[0m\n{in_terminal(line.split(), self.env)}"

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "GPUQ_SERVER": self.system.api,
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            "COLUMNS": str(COLUMNS),
            "NO_COLOR": "",
            "USER": "dan",
        }


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Yield a started system with three GPUs, whose default training is the tests' toy."""
    nvml = FakeNvml(compile_into(folder), folder / "nvml.txt")
    nvml.says(*(gpu(number, total=81559) for number in range(3)))
    env = {
        "REQUIRE_GPU": "true",
        "MAX_RUNNING_JOBS": "2",
        "SAMPLE_PERIOD_S": "0.2",
        "NODE_NAME": "gpu-1",
        "WORKFLOW_TEMPLATE": str(folder / "system" / "templates" / "toy-workflow.yaml"),
    }
    with running_system(folder / "system", **env, **nvml.env) as system:
        for name in CONFIGS:
            (folder / "system" / "configs" / name).write_text("seconds: 600\n", encoding="utf-8")
        with redis.Redis(port=system.redis_port) as client:
            client.lpush(keys.DURATIONS, RUN_TIME_S)
        yield Scene(system, nvml)


def fill(place: Scene) -> None:
    """Let two jobs run, somebody outside the queue use the third GPU, and two jobs wait."""
    for user, config, minutes in (("ann", CONFIGS[0], 52), ("bob", CONFIGS[2], 17)):
        job_id = place.submit(user, config)
        place.system.wait_status(job_id, "running")
        place.started_ago(job_id, minutes * 60)
    place.gpus(
        gpu(0, used=31744, total=81559, utilization=97),
        gpu(1, used=28160, total=81559, utilization=94),
        gpu(2, used=21504, total=81559, utilization=93, more=OUTSIDE),
    )
    place.submit("cara", CONFIGS[1])
    place.submit("ann", CONFIGS[1])


def in_terminal(words: list[str], env: dict[str, str]) -> str:
    """Run the command on a pseudo-terminal and return its output, colours included."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", *words]
    process = subprocess.Popen(command, env=env, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    output = b""
    while chunk := read_terminal(leader):
        output += chunk
    os.close(leader)
    assert process.wait() == 0, output.decode()
    return output.decode().replace("\r\n", "\n")


def read_terminal(descriptor: int) -> bytes:
    """Read the next bytes; Linux ends a pseudo-terminal with EIO instead of an end of file."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def drawn(text: str) -> str:
    """Return the SVG of a terminal with this text; it loads nothing from anywhere."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(text.rstrip("\n")))
        console.print()  # else the frame cuts the last line's descenders
        svg = console.export_svg(title="gpuq", theme=THEME, code_format=SVG, unique_id="gpuq")
    assert "url(http" not in svg
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as place:
        fill(place)
        lines = ["gpuq submit --config ntu60_xsub_b.yaml", "gpuq queue", "gpuq nodes"]
        text = place.command(lines[0])
        time.sleep(2)  # a cycle writes the new job's reason
        text += "\n" + "\n".join(map(place.command, lines[1:]))
    PICTURE.write_text(drawn(text), encoding="utf-8")


if __name__ == "__main__":
    main()
