"""`gpuq up --demo`: a short training on generated data, submitted like any other, and shown."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from gpuq.errors import GpuqFailure, Interrupted
from gpuq.output.progress import View
from gpuq.output.text import say
from gpuq.remote.client import Client
from gpuq.remote.follow import PAUSE_S, Follower, outcome
from gpuq.up import process
from gpuq.up.folder import Folder
from jobqueue.phase import Phase

USER = "demo"
SUBMISSION = {
    "user": USER,
    "config": "demo.yaml",
    "workdir": f"/data/{USER}",
    "name": "gpuq up --demo",
}


def make_dataset(folder: Folder, seed: int | None, signals: list[int]) -> None:
    """Generate the data set if it is missing or a seed is given.

    Raises GpuqFailure, Interrupted.
    """
    path = folder.data / "datasets" / "demo.pkl"
    if path.exists() and seed is None:
        return
    say(f"Generating the data set {path} …")
    program = [sys.executable, "-m", "proto_gcn.data.synthetic"]
    _run([*program, "--out", str(path), "--seed", str(seed or 0)], folder.logs, signals)


def _run(command: list[str], logs: Path, signals: list[int]) -> None:
    log = logs / "dataset.log"
    made = process.spawn(command, os.environ, log)
    while made.poll() is None:
        if signals:
            process.end(made, lambda: 0)
            raise Interrupted("Stopped before any service was started.")
        time.sleep(0.05)
    if made.returncode != 0:
        code = made.returncode
        raise GpuqFailure(f"The data set could not be generated (exit code {code}); see {log}.")


class Demo:
    """The demo's job, polled by the supervisor's loop; `job` is its record once it has ended."""

    def __init__(self, client: Client, folder: Folder, view: View) -> None:
        self._client = client
        self._folder = folder
        self._view = view
        self._follower: Follower | None = None
        self._next_poll = 0.0
        self.job: dict[str, Any] | None = None

    def is_over(self) -> bool:
        """Submit at the first call, then poll once a second. Raises GpuqFailure."""
        if self._follower is None:
            self._follower = Follower(self._client, self._find_or_submit(), self._view)
        if time.monotonic() >= self._next_poll:
            self.job = self._follower.poll()
            self._next_poll = time.monotonic() + PAUSE_S
        return self.job is not None

    def report(self) -> None:
        """Print the result and its files. Raises TrainingFailed."""
        if self.job is None or self._follower is None:
            say("The training was stopped; `gpuq up --demo` continues from its checkpoint.")
            return
        click.echo(outcome(self.job, self._follower.best_top1))
        for what, path in (self.job.get("result") or {}).items():
            click.echo(f"  {what:10} {self._folder.host_path(path)}")

    def _find_or_submit(self) -> str:
        """Return the id of an interrupted demo, which resumes by itself, else of a new one."""
        status = self._client.status(USER)
        if status["status"] in {Phase.QUEUED, Phase.ADMITTED, Phase.RUNNING}:
            job_id = str(status["job_id"])
            say(f"Continuing {job_id}, which was stopped last time.")
            return job_id
        job_id = str(self._client.submit(dict(SUBMISSION))["job_id"])
        say(f"Submitted {job_id} through POST {self._client.server}/submit.")
        return job_id
