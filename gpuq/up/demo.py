"""`gpuq up --demo`: a short training on generated data, submitted as anybody would, and shown to its end."""

import os
import sys
import time
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
    """The generated data set, where it is missing or a seed was asked for; raises GpuqFailure, Interrupted."""
    path = folder.data / "datasets" / "demo.pkl"
    if path.exists() and seed is None:
        return
    say(f"Generating the data set {path} …")
    argv = [
        sys.executable,
        "-m",
        "proto_gcn.data.synthetic",
        "--out",
        str(path),
        "--seed",
        str(seed or 0),
    ]
    log = folder.logs / "dataset.log"
    made = process.spawn(argv, os.environ, log)
    while made.poll() is None:
        if signals:
            process.end(made, lambda: 0)
            raise Interrupted("Stopped before anything had started.")
        time.sleep(0.05)
    if made.returncode != 0:
        raise GpuqFailure(
            f"The data set could not be generated (exit code {made.returncode}); see {log}."
        )


class Demo:
    """Asked again and again by the supervisor's loop; `job` is the record once the training has ended."""

    def __init__(self, client: Client, folder: Folder, view: View) -> None:
        self._client, self._folder, self._view = client, folder, view
        self._follower: Follower | None = None
        self._next_look = 0.0
        self.job: dict[str, Any] | None = None

    def is_over(self) -> bool:
        """Submit first, then look once a second; raises GpuqFailure."""
        if self._follower is None:
            self._follower = Follower(self._client, self._find_or_submit(), self._view)
        if time.monotonic() >= self._next_look:
            self.job = self._follower.look()
            self._next_look = time.monotonic() + PAUSE_S
        return self.job is not None

    def report(self) -> None:
        """How it went and where everything is; raises TrainingFailed."""
        if self.job is None or self._follower is None:
            say("The training was stopped; `gpuq up --demo` goes on from its checkpoint.")
            return
        click.echo(outcome(self.job, self._follower.best_top1))
        for what, path in (self.job.get("result") or {}).items():
            click.echo(f"  {what:10} {self._folder.host_path(path)}")

    def _find_or_submit(self) -> str:
        """A demo that was interrupted resumes by itself, so it is followed instead of queueing another behind it."""
        status = self._client.status(USER)
        if status["status"] in {Phase.QUEUED, Phase.ADMITTED, Phase.RUNNING}:
            say(f"Going on with {status['job_id']}, which was stopped the last time.")
            return str(status["job_id"])
        job_id = str(self._client.submit(dict(SUBMISSION))["job_id"])
        say(f"Submitted {job_id} through POST {self._client.server}/submit.")
        return job_id
