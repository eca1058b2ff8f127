"""These tests run `gpuq up` with its services on free ports and kill some or all of them."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from devtools import ROOT
from devtools.testbed.demo import make_small_demo
from devtools.testbed.system import free_port, wait_for

TOY = {"seconds": 60}
#: These tests run one after the other, even if several workers run the suite.
ON_THE_USUAL_PORTS = pytest.mark.xdist_group("usual ports")
#: A pattern of each service's command. If `setproctitle` is installed, gunicorn shows the service's
#: name, with a hyphen, in the place of the command.
SERVICES = {
    "redis": "-server",
    "resource-monitor": "resource[-_]monitor",
    "queue-manager": "queue[-_]manager",
    "scheduler": "scheduler",
}


class Up:
    """This is one `gpuq up` on `folder`; `said()` returns its output."""

    def __init__(self, folder: Path, *options: str, **env: str) -> None:
        self.folder, self.port = folder, free_port()
        self.api = f"http://127.0.0.1:{self.port}"
        self._said = folder.parent / "said.txt"
        ports = ("--port", self.port, "--monitor-port", free_port(), "--redis-port", free_port())
        words = ["up", "--data-dir", folder, *(() if "--demo" in options else ports), *options]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gpuq", *map(str, words)],
                env={**os.environ, **self._env(), **env},
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                process_group=0,
            )

    def _env(self) -> dict[str, str]:
        return {
            "WORKFLOW_TEMPLATE": str(self.folder.parent / "templates" / "proto-gcn-workflow.yaml"),
            "LOCAL_IMAGES": f"toy:latest={ROOT / 'tests' / 'toy_trainer'}",
            "POLL_INTERVAL_S": "1",
            "LEASE_S": "2",
            "CPU_PERCENT": "off",
            "MEMORY_PERCENT": "off",
            "PYTHONPATH": str(ROOT),
            "SPT_NOENV": "1",  # a title set by gunicorn must not overwrite the environment we read
        }

    def said(self) -> str:
        return self._said.read_text(encoding="utf-8", errors="replace")

    def wait_said(self, pattern: str, timeout_s: float = 30) -> re.Match[str]:
        try:
            found = wait_for(
                f"it says {pattern}", lambda: re.search(pattern, self.said()), timeout_s
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.said()}") from error
        assert isinstance(found, re.Match)
        return found

    def wait_up(self) -> "Up":
        self.wait_said("gpuq is up: ")
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=40)

    def pid(self, service: str) -> int | None:
        """Return the main process of a service: our child whose command matches its pattern."""
        for pid, words, parent in processes():
            if parent == self.process.pid and re.search(SERVICES[service], words):
                return pid
        return None

    def answers(self, path: str) -> bool:
        try:
            return requests.get(f"{self.api}{path}", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def run_toy(self) -> str:
        """Submit a training of one minute and wait until it and its record are running."""
        body = {"user": "ann", "config": TOY, "workdir": "/data/ann", "workflow": "toy"}
        job_id = str(requests.post(f"{self.api}/submit", json=body, timeout=10).json()["job_id"])
        wait_for("the training runs", lambda: self.lives(job_id))
        wait_for("the record is running", lambda: self.job(job_id)["status"] == "running")
        return job_id

    def lives(self, job_id: str) -> list[dict[str, Any]]:
        path = self.folder / "data" / "ann" / "runs" / job_id / "lives.log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(requests.get(f"{self.api}/jobs/{job_id}", timeout=10).json())

    def left(self) -> list[str]:
        """Return every living process whose command or environment names the folder."""
        return [f"{pid} {words}" for pid, words, _ in processes(naming=str(self.folder))]


def processes(naming: str = "") -> list[tuple[int, str, int]]:
    """Return (pid, command, parent) of the processes with that text in command or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            everything = words + (folder / "environ").read_bytes().decode(errors="replace")
            parent = int(
                (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            )
        except OSError:
            continue
        if words and naming in everything and int(folder.name) != os.getpid():
            found.append((int(folder.name), words, parent))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder for a `gpuq up`; processes that a failing test leaves there are killed."""
    templates = tmp_path / "templates"
    templates.mkdir()
    for source in (ROOT / "workflows", ROOT / "tests" / "templates"):
        for shipped in source.glob("*-workflow.yaml"):
            shutil.copy(shipped, templates)
    shutil.copy(ROOT / "workflows" / "proto-gcn.schema.json", templates)
    root = tmp_path / "gpuq"
    yield root
    for pid, _, _ in processes(naming=str(root)):
        with contextlib.suppress(ProcessLookupError):  # it ended in the meantime
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_its_address_and_stops_everything_in_order(folder: Path, number: int) -> None:
    up = Up(folder).wait_up()
    assert up.answers("/readyz")
    assert f"curl {up.api}/submit" in up.said()
    assert "REQUIRE_GPU=false" in up.said() or Path("/dev/nvidia0").exists()
    up.run_toy()
    assert up.stop(number) == 0
    assert up.left() == []
    assert "Stopping queue-manager, scheduler, resource-monitor, redis" in up.said()
    assert "Traceback" not in up.said()


def test_a_second_one_is_refused_and_the_first_keeps_running(folder: Path) -> None:
    up = Up(folder).wait_up()
    command = [sys.executable, "-m", "gpuq", "up", "--data-dir", str(folder)]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert second.returncode == 1
    assert second.stderr == (
        f"Another gpuq up (pid {up.process.pid}) uses {folder}; "
        "stop it, or use another folder with --data-dir.\n"
    )
    assert up.answers("/readyz")
    assert up.stop() == 0


def test_a_killed_service_is_started_again_and_the_training_continues(folder: Path) -> None:
    up = Up(folder).wait_up()
    job_id = up.run_toy()
    for service in SERVICES:
        killed = wait_for(f"{service} runs", lambda service=service: up.pid(service))
        os.kill(killed, signal.SIGKILL)
        up.wait_said(f"{service} was ended by signal 9; restarting it in 1 s")
        wait_for(
            f"{service} runs again",
            lambda service=service, killed=killed: up.pid(service) not in (None, killed),
        )
        wait_for("the queue manager is ready again", lambda: up.answers("/readyz"))
    assert up.job(job_id)["status"] == "running"
    assert [life["what"] for life in up.lives(job_id)] == ["arrive", "start"]
    assert up.stop() == 0
    assert up.left() == []


def test_sigkill_leaves_nothing_and_the_next_one_resumes_the_training(folder: Path) -> None:
    up = Up(folder).wait_up()
    job_id = up.run_toy()
    os.kill(up.process.pid, signal.SIGKILL)
    up.process.wait()
    again = Up(folder).wait_up()  # at once: it waits for the old Redis to leave the folder
    wait_for(
        "the training resumes",
        lambda: [life["what"] for life in again.lives(job_id)][-1:] == ["start"],
    )
    assert [life["what"] for life in again.lives(job_id)] == [
        "arrive",
        "start",
        "end",
        "arrive",
        "start",
    ]
    wait_for("the record is running", lambda: again.job(job_id)["status"] == "running")
    assert again.job(job_id)["attempt"] == 2
    os.kill(again.process.pid, signal.SIGKILL)
    again.process.wait()
    wait_for("nothing is left", lambda: not again.left(), 10)


def test_a_service_that_cannot_start_ends_it_and_its_last_output_is_shown(folder: Path) -> None:
    up = Up(folder, MAX_QUEUED="none")
    assert up.process.wait(timeout=40) == 1
    assert "queue-manager did not start: it ended with exit code 2" in up.said()
    assert "MAX_QUEUED='none' is refused" in up.said()
    assert "Traceback" not in up.said()
    assert up.left() == []


def test_a_signal_in_the_middle_of_the_start_stops_what_was_started(folder: Path) -> None:
    up = Up(folder)
    wait_for("Redis is started", lambda: up.pid("redis"))
    assert up.stop() == 0
    assert "gpuq is up" not in up.said()
    assert up.left() == []


def test_off_loopback_it_has_tokens_and_shows_the_first_one_once(folder: Path) -> None:
    up = Up(folder, "--host", "0.0.0.0").wait_up()
    token = up.wait_said(r"The first admin's token, shown only once: (gpuq_\S+)\n")[1]
    up.wait_said("gpuq admin token create --user <user>")
    assert requests.get(f"{up.api}/queue", timeout=5).status_code == 401
    bearer = {"Authorization": f"Bearer {token}"}
    body = {
        "user": "ann",
        "config": TOY,
        "workdir": "/data/ann",
        "workflow": "toy",
        "dry_run": True,
    }
    assert (
        requests.post(f"{up.api}/submit", json=body, headers=bearer, timeout=5).status_code == 200
    )
    assert up.stop() == 0
    again = Up(folder, "--host", "0.0.0.0").wait_up()
    again.wait_said("gpuq admin token create --user <user>")
    assert requests.get(f"{again.api}/queue", headers=bearer, timeout=5).status_code == 200
    assert again.stop() == 0
    assert "gpuq_" not in again.said()
    assert not any(token.encode() in log.read_bytes() for log in (folder / "logs").iterdir())


# -- the demo --


@pytest.fixture
def busy_port() -> Iterator[int]:
    """The queue manager's usual port, in use by this test or by another process."""
    with socket.socket() as listener:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # connections of earlier tests may linger
        try:
            listener.bind(("127.0.0.1", 8081))
            listener.listen()
        except OSError:
            pass  # another process listens there, which serves the test as well
        yield 8081


@ON_THE_USUAL_PORTS
def test_the_demo_trains_to_its_end_and_names_its_files(folder: Path, busy_port: int) -> None:
    make_small_demo(folder)
    up = Up(folder, "--demo", WORKFLOW_TEMPLATE=str(ROOT / "workflows" / "proto-gcn-workflow.yaml"))
    assert up.process.wait(timeout=120) == 0, up.said()
    said = up.said()
    assert f"Port {busy_port} is taken; the demo uses" in said
    assert "Generating the data set" in said
    assert re.search(r"^epoch 2/2  loss ", said, re.MULTILINE)
    assert re.search(r"^succeeded: best top-1 [0-9.]+ %$", said, re.MULTILINE)
    for what in ("checkpoint", "log", "metrics"):
        path = re.search(rf"^  {what} +(/\S+)$", said, re.MULTILINE)
        assert path is not None, said
        assert Path(path[1]).stat().st_size > 0
    assert up.left() == []


@ON_THE_USUAL_PORTS
def test_a_demo_that_fails_prints_the_reason_and_exits_with_3(folder: Path) -> None:
    make_small_demo(folder, train_split="no_such_split")
    up = Up(folder, "--demo", WORKFLOW_TEMPLATE=str(ROOT / "workflows" / "proto-gcn-workflow.yaml"))
    assert up.process.wait(timeout=60) == 3, up.said()
    assert re.search(r"^demo_\d+ failed: ", up.said(), re.MULTILINE)
    assert "no_such_split" in up.said().partition("Its last log lines:")[2]
    assert up.left() == []
