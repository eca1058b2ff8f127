"""The launcher of train.py, with processes that start fast: their exit codes, and its own."""

import signal
import subprocess
import sys

import pytest

from devtools import ROOT

LAUNCH = """
import sys
from proto_gcn.engine.processes import launch

launch.GRACE_S = {grace}
sys.exit(launch.launch({command}, 2))
"""
# In one write: print may write the end of the line separately.
SLEEP = r"import time; os.write(1, b'up\n'); time.sleep(60)"


def start(first: str, second: str, grace: float = 20.0) -> subprocess.Popen[str]:
    """Run these programs in two processes."""
    program = f"import os\nif os.environ['RANK'] == '0':\n    {first}\nelse:\n    {second}"
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH.format(grace=grace, command=[sys.executable, "-c", program])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return (exit code, stdout), once no process holds stdout any more."""
    out, _ = process.communicate(timeout=30)
    return process.returncode, out


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("pass", "pass", 0),
        (
            "raise SystemExit(76)",
            "import time; time.sleep(0.5); raise SystemExit(2)",
            2,
        ),  # the first lost the second
        ("import time; time.sleep(0.5); raise SystemExit(75)", "raise SystemExit(76)", 75),
    ],
)
def test_the_exit_code_is_that_of_the_one_that_failed(first: str, second: str, code: int) -> None:
    assert ended(start(first, second)) == (code, "")


def test_processes_that_all_lost_contact_end_with_one_sentence() -> None:
    code, out = ended(start("raise SystemExit(76)", "raise SystemExit(76)"))
    lost = (
        "the processes of the training lost contact (see train.log); "
        "the last checkpoint is kept, retry\n"
    )
    assert (code, out) == (1, lost)


def test_a_process_that_waits_for_a_failed_one_is_killed() -> None:
    assert ended(start(SLEEP, "raise SystemExit(2)", grace=0.5))[0] == 2


def test_a_killed_process_is_named() -> None:
    code, out = ended(start("import os; os.kill(os.getpid(), 9)", "raise SystemExit(76)"))
    assert code == 128 + signal.SIGKILL
    assert out.startswith("process 0 of the training was ended by SIGKILL; ")


def up(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(2)] == ["up\n", "up\n"]


def test_sigterm_reaches_all_processes_and_ends_with_143() -> None:
    process = start(SLEEP, SLEEP)
    up(process)
    process.terminate()
    assert ended(process) == (143, "")


def test_no_process_outlives_the_launcher() -> None:
    process = start(SLEEP, SLEEP)
    up(process)
    process.kill()
    ended(process)
