"""This module runs the rendered Workflow's container command as a process of this machine.

A workflow is a folder below the state folder. It gets its name by one rename, so that a name can
be taken only once. Its `runner.py` process outlives the scheduler. The state is read from files and
one kernel lock, never from memory.
"""

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from jobqueue.failpoints import failpoint
from jobqueue.service.log import get_logger
from scheduler.engines.contract import (
    Engine,
    EngineUnavailable,
    Placement,
    WorkflowExists,
    WorkflowNotMade,
    WorkflowPhase,
    WorkflowStatus,
)
from scheduler.engines.local.launch import Machine, make_launch, parameters
from scheduler.engines.local.runner import write_json
from scheduler.engines.local.state import read_state
from scheduler.engines.local.watch import watch_folders

log = get_logger(__name__)


def default_images() -> dict[str, Path]:
    """Return which folder stands in for an image: `proto-gcn:latest` is the installed trainer."""
    spec = importlib.util.find_spec("proto_gcn")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return {"proto-gcn:latest": Path(folders[0])} if folders else {}


class LocalEngine(Engine):
    """This engine runs workflows as processes; `state_dir` holds one folder per workflow."""

    name = "local"
    pins_gpus = True

    def __init__(
        self,
        state_dir: Path,
        data_root: Path,
        images: Mapping[str, Path],
        node: str,
        grace_s: float = 30,
    ) -> None:
        self._state = state_dir
        self._machine = Machine(images, data_root, grace_s)
        self._node = node
        self._runners: list[subprocess.Popen[bytes]] = []
        self._ended: dict[str, WorkflowStatus] = {}  # what has ended does not change any more
        self._state.mkdir(parents=True, exist_ok=True)
        for leftover in (*self._state.glob(".new-*"), *self._state.glob(".gone-*")):
            shutil.rmtree(leftover, ignore_errors=True)

    def create(self, workflow: dict[str, Any], config_text: str, placement: Placement) -> str:
        """Create a workflow: it exists from the moment its folder has its name."""
        uid, name = str(uuid.uuid4()), workflow["metadata"]["name"]
        folder, new = self._state / name, self._state / f".new-{uid}"
        launch = {**make_launch(workflow, folder, placement, self._machine), "uid": uid}
        try:
            _write(new, workflow, launch, config_text)
            failpoint("local.create.written")
            new.rename(folder)
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            raise self._why_not_created(name, error) from error
        failpoint("local.create.renamed")
        self._spawn(folder)
        failpoint("local.create.spawned")
        return uid

    def get(self, name: str) -> WorkflowStatus | None:
        """Return a workflow by name."""
        return self._read(self._state / name)

    def workflows(self) -> list[WorkflowStatus]:
        """Return all workflows; one that was created without a runner gets one now."""
        self._runners = [runner for runner in self._runners if runner.poll() is None]
        found = [status for folder in self._folders() if (status := self._read(folder)) is not None]
        for workflow in found:
            if workflow.phase is WorkflowPhase.PENDING:
                self._spawn(self._state / workflow.name)
        return found

    def stop(self, workflow: WorkflowStatus) -> None:
        """Leave a file that the runner polls for."""
        try:
            (self._state / workflow.name / "stop").touch()
        except FileNotFoundError:
            return  # deleted a moment ago
        except OSError as error:
            text = f"The workflow {workflow.name} cannot be stopped ({error.strerror})."
            raise EngineUnavailable(text) from error

    def delete(self, workflow: WorkflowStatus) -> None:
        """Delete the folder of a workflow that has ended."""
        present = self.get(workflow.name)
        if present is not None and present.uid == workflow.uid and not present.is_live:
            gone = self._state / f".gone-{workflow.uid}"
            (self._state / workflow.name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            self._ended.pop(workflow.name, None)

    def config_text(self, workflow: WorkflowStatus) -> str | None:
        """Return the config from the workflow's folder."""
        folder = self._state / workflow.name
        try:
            config: str = json.loads((folder / "launch.json").read_text(encoding="utf-8"))["config"]
            return (folder / "config" / config).read_text(encoding="utf-8")
        except (OSError, ValueError, KeyError):
            return None

    def watch(self, on_change: Callable[[], None], stopping: threading.Event) -> None:
        """Poll for new files of the runners."""
        watch_folders(self._state, on_change, stopping)

    def _why_not_created(self, name: str, error: OSError) -> WorkflowExists | WorkflowNotMade:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return WorkflowExists(f"A workflow {name} exists already.")
        where = f"{self._state} ({error.strerror})"
        return WorkflowNotMade(f"The workflow {name} could not be written to {where}.")

    def _folders(self) -> list[Path]:
        try:
            paths = (path for path in self._state.iterdir() if not path.name.startswith("."))
            return sorted(paths)
        except OSError as error:
            text = f"The folder {self._state} cannot be read ({error.strerror})."
            raise EngineUnavailable(text) from error

    def _read(self, folder: Path) -> WorkflowStatus | None:
        if folder.name in self._ended:
            return self._ended[folder.name]
        try:
            status = read_state(folder, self.name, self._node)
        except (OSError, ValueError, KeyError) as error:
            # Never "there is none": that would end its job.
            text = f"The workflow folder {folder} cannot be read ({error}); fix or remove it."
            raise EngineUnavailable(text) from error
        if status is not None and not status.is_live:
            self._ended[folder.name] = status
        return status

    def _spawn(self, folder: Path) -> None:
        """Start the folder's runner; if there are two, the second one exits at once."""
        try:
            self._runners.append(_start_runner(folder))
        except OSError as error:
            # Deleted a moment ago, or out of processes: the next cycle retries.
            why = error.strerror
            log.warning("Workflow runner not started.", workflow=folder.name, error=why)


def _start_runner(folder: Path) -> "subprocess.Popen[bytes]":
    lifeline = os.environ.get("LIFELINE_FD")
    with (folder / "runner.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "scheduler.engines.local.runner", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(int(lifeline),) if lifeline else (),
        )


def _write(new: Path, workflow: dict[str, Any], launch: dict[str, Any], config_text: str) -> None:
    """Write the whole folder of a workflow, under a temporary name."""
    config = new / "config" / parameters(workflow)["config"]
    config.parent.mkdir(parents=True)
    config.write_text(config_text, encoding="utf-8")
    text = yaml.safe_dump(workflow, sort_keys=False, allow_unicode=True)
    (new / "workflow.yaml").write_text(text, encoding="utf-8")
    write_json(new / "launch.json", launch)
