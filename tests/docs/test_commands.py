"""Every command that README and docs show is run, in order, in one shell a document, against a
`gpuq up` of its own.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from devtools import ROOT
from devtools.testbed.system import free_port, wait_for
from tests.docs.commands import Command, commands, missing_lines

ALL = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])

DOCUMENTS = [path for path in ALL if commands(path)]
#: Documents without a ```console block: reference, reasons, and what needs a cluster or a GPU.
WITHOUT_COMMANDS = {
    "CONTRIBUTING.md",
    "cli.md",
    "decisions.md",
    "founding-document.md",
    "glossary.md",
    "kubernetes.md",
    "performance.md",
    "settings.md",
    "testing.md",
    "trainer-data.md",
    "trainer-engine.md",
    "trainer-model.md",
}
#: Not run again here, each for its reason.
ELSEWHERE = {
    "make demo": "test_demo.py runs it",
    "make test": "this is part of it",
    "make lint test": "this is part of it",
    "make bench": "minutes of measurements, run by hand",
    "make up": "the system that these commands talk to is one",
    "gpuq up": "the system that these commands talk to is one",
}
MARK = "@@@"
pytestmark = pytest.mark.xdist_group("one gpuq up")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running `gpuq up` with the demo's data set; yields what to write for the documents' ports
    and folder.
    """
    folder = tmp_path_factory.mktemp("up")
    ports = {name: free_port() for name in ("port", "monitor-port", "redis-port")}
    options = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    command = [sys.executable, "-m", "gpuq", "up", "--data-dir", str(folder / "gpuq"), *options]
    env = {**os.environ, "CPU_PERCENT": "off", "XDG_DATA_HOME": str(folder)}
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        api = f"http://127.0.0.1:{ports['port']}"
        wait_for("it is up", lambda: ready(api), 90)
        data = folder / "gpuq" / "data" / "datasets" / "demo.pkl"
        subprocess.run(
            [sys.executable, "-m", "proto_gcn.data.synthetic", "--out", str(data)],
            check=True,
            timeout=120,
        )
        yield {
            "127.0.0.1:8081": f"127.0.0.1:{ports['port']}",
            "127.0.0.1:8080": f"127.0.0.1:{ports['monitor-port']}",
            "redis-cli": f"{sys.executable} -m tests.docs.redis_cli {ports['redis-port']}",
            "~/.local/share/gpuq": str(folder / "gpuq"),
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ready(api: str) -> bool:
    try:
        return requests.get(f"{api}/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_only_the_named_documents_show_no_command() -> None:
    """A document whose blocks are not recognised any more would otherwise pass unread."""
    assert {path.name for path in ALL if path not in DOCUMENTS} == WITHOUT_COMMANDS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_do_what_is_shown(document: Path, up: dict[str, str], tmp_path: Path) -> None:
    found = [command for command in commands(document) if command.text not in ELSEWHERE]
    outputs = run_all(found, up, tmp_path)
    assert len(outputs) == len(found)
    for command, (code, printed) in zip(found, outputs, strict=True):
        shown = tuple(replaced(line, up) for line in command.shown)
        output = "\n".join(printed)
        is_expected = code == 0 or f"exit code {code}" in command.text
        assert is_expected, f"{command.text}\n{code}\n{output}"
        assert missing_lines(shown, printed) == [], f"{command.text}\n{output}"


def run_all(found: list[Command], up: dict[str, str], folder: Path) -> list[tuple[int, list[str]]]:
    """Return the exit code and the lines of each command, run in one bash in `folder`."""
    script = "\n".join(f"{replaced(command.text, up)}\necho; echo {MARK} $?" for command in found)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "GPUQ_SERVER": f"http://{up['127.0.0.1:8081']}",
        "USER": "ann",
        "COLUMNS": "200",
    }
    # What goes to stderr, the talk, is looked at with the rest: a reader's terminal shows both.
    done = subprocess.run(
        ["bash"],
        input=script,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        cwd=folder,
        timeout=300,
        check=False,
    )
    parts = re.split(rf"^{MARK} (\d+)\n", done.stdout, flags=re.MULTILINE)
    return [
        (int(code), text.splitlines()) for text, code in zip(parts[::2], parts[1::2], strict=False)
    ]


def replaced(text: str, up: dict[str, str]) -> str:
    for old, new in up.items():
        text = text.replace(old, new)
    return text


def test_every_make_target_that_is_shown_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    shown = {
        word
        for document in DOCUMENTS
        for command in commands(document)
        if command.text.startswith("make ")
        for word in command.text.split()[1:]
        if "=" not in word
    }
    assert shown
    assert shown <= targets


def test_the_shell_is_there() -> None:
    assert shutil.which("bash")
    assert shutil.which("curl"), "the documents show curl; install it"
