"""The engine of one machine: takes the same rendered Workflow as Argo, and runs its container's command as a process.

A workflow is a folder below the state folder, made by one rename, so that a name is taken once; its `runner.py` process
outlives the scheduler. What runs is told from files and one kernel lock, never from memory.
"""

import errno
import fcntl
import importlib.util
import json
import os
import re
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
    EndedBy,
    Engine,
    EngineUnavailable,
    Placement,
    WorkflowExists,
    WorkflowNotMade,
    WorkflowPhase,
    WorkflowRejected,
    WorkflowStatus,
)
from scheduler.engines.local.runner import write_json
from workflows.render import ANNOTATION_SUBMISSION, LABEL_ATTEMPT, LABEL_JOB, entry_template

log = get_logger(__name__)

LOG_TAIL_LINES = 20
_LOG_TAIL_BYTES = 8192
_WATCH_S = 0.1
_MARKS = ("started.json", "exit.json")
_Mark = tuple[str, str]

#: What a training inherits of the scheduler's environment; never REDIS_URL and the like.
_INHERITED = re.compile(
    r"PATH|HOME|LANG|LC_.*|TZ|TMPDIR|LD_LIBRARY_PATH|GPU_UTILIZATION_PERCENT|OMP_.*|MKL_.*|OPENBLAS_.*|CUDA_.*|NVIDIA_.*"
)
_INHERITED_IN_TESTS = re.compile(r"FAILPOINT.*|GPUQ_TESTING")
_PARAMETER = re.compile(r"\{\{\s*workflow\.parameters\.([\w-]+)\s*\}\}")


def default_images() -> dict[str, Path]:
    """Which folder stands in for an image: `proto-gcn:latest` is the installed trainer."""
    spec = importlib.util.find_spec("proto_gcn")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return {"proto-gcn:latest": Path(folders[0])} if folders else {}


class LocalEngine(Engine):
    """Runs workflows as processes of this machine; `state_dir` holds one folder a workflow."""

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
        self._state, self._data_root, self._images, self._node = state_dir, data_root, images, node
        self._grace_s = grace_s
        self._runners: list[subprocess.Popen[bytes]] = []
        self._over: dict[str, WorkflowStatus] = {}  # what has ended does not change any more
        self._state.mkdir(parents=True, exist_ok=True)
        for left in (*self._state.glob(".new-*"), *self._state.glob(".gone-*")):
            shutil.rmtree(left, ignore_errors=True)

    # -- what the loop asks ----------------------------------------------------------------------------------------

    def create(self, workflow: dict[str, Any], config_text: str, placement: Placement) -> str:
        """See Engine.create; made as soon as its folder has its name, whatever happens after."""
        uid, name = str(uuid.uuid4()), workflow["metadata"]["name"]
        folder, fresh = self._state / name, self._state / f".new-{uid}"
        launch = self._launch(workflow, folder, uid, placement)
        try:
            _write(fresh, workflow, launch, config_text)
            failpoint("local.create.written")
            fresh.rename(folder)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise WorkflowExists(f"A workflow {name} exists already.") from error
            raise WorkflowNotMade(
                f"The workflow {name} could not be written to {self._state} ({error.strerror})."
            ) from error
        failpoint("local.create.renamed")
        self._spawn(folder)
        failpoint("local.create.spawned")
        return uid

    def get(self, name: str) -> WorkflowStatus | None:
        return self._status(self._state / name)

    def workflows(self) -> list[WorkflowStatus]:
        """All workflows; one that was made but whose runner was never started gets it now."""
        self._runners = [runner for runner in self._runners if runner.poll() is None]
        try:
            folders = sorted(
                path for path in self._state.iterdir() if not path.name.startswith(".")
            )
        except OSError as error:
            raise EngineUnavailable(
                f"The folder {self._state} cannot be read ({error.strerror})."
            ) from error
        found = [status for folder in folders if (status := self._status(folder)) is not None]
        for workflow in found:
            if workflow.phase is WorkflowPhase.PENDING:
                self._spawn(self._state / workflow.name)
        return found

    def stop(self, workflow: WorkflowStatus) -> None:
        try:
            (self._state / workflow.name / "stop").touch()
        except FileNotFoundError:
            return  # deleted a moment ago
        except OSError as error:
            raise EngineUnavailable(
                f"{workflow.name} cannot be told to stop ({error.strerror})."
            ) from error

    def delete(self, workflow: WorkflowStatus) -> None:
        present = self.get(workflow.name)
        if present is not None and present.uid == workflow.uid and not present.is_live:
            gone = self._state / f".gone-{workflow.uid}"
            (self._state / workflow.name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            self._over.pop(workflow.name, None)

    def config_text(self, workflow: WorkflowStatus) -> str | None:
        folder = self._state / workflow.name
        try:
            config: str = json.loads((folder / "launch.json").read_text(encoding="utf-8"))["config"]
            return (folder / "config" / config).read_text(encoding="utf-8")
        except (OSError, ValueError, KeyError):
            return None

    def watch(self, on_change: Callable[[], None], stopping: threading.Event) -> None:
        """Looks for new files of the runners; a handful of stat calls."""
        known = self._marks()
        while not stopping.wait(_WATCH_S):
            marks = self._marks(known)
            if marks - known:
                on_change()
            known = marks

    # -- making ----------------------------------------------------------------------------------------------------

    def _launch(
        self, workflow: dict[str, Any], folder: Path, uid: str, placement: Placement
    ) -> dict[str, Any]:
        template = entry_template(workflow)
        container, labels = template["container"], workflow["metadata"]["labels"]
        image = container.get("image")
        if image not in self._images:
            raise WorkflowRejected(
                f"No folder stands in for the image {image} here; name one in LOCAL_IMAGES."
            )
        if not container.get("command"):
            raise WorkflowRejected(
                "Its template has no command; on one machine there is no image that brings one."
            )
        argv = [
            _filled(workflow, word) for word in (*container["command"], *container.get("args", []))
        ]
        return {
            "argv": [sys.executable if word == "python" else word for word in argv],
            "cwd": str(self._images[image]),
            "env": self._env(workflow, container, folder, placement),
            "time_limit_s": template.get("activeDeadlineSeconds"),
            "grace_s": self._grace_s,
            "uid": uid,
            "job_id": labels[LABEL_JOB],
            "attempt": int(labels[LABEL_ATTEMPT]),
            "gpu_uuids": list(placement.gpu_uuids),
            "config": _parameters(workflow)["config"],
            "submission": json.loads(workflow["metadata"]["annotations"][ANNOTATION_SUBMISSION]),
        }

    def _env(
        self,
        workflow: dict[str, Any],
        container: dict[str, Any],
        folder: Path,
        placement: Placement,
    ) -> dict[str, str]:
        own = {item["name"]: _filled(workflow, _value(item)) for item in container.get("env", [])}
        if own.get("CONFIG_FILE", "").startswith("/config/"):
            own["CONFIG_FILE"] = str(folder / own["CONFIG_FILE"].lstrip("/"))
        if "CUDA_VISIBLE_DEVICES" in own or placement.gpu_uuids:
            own["CUDA_VISIBLE_DEVICES"] = ",".join(placement.gpu_uuids)
        inherited = {
            name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)
        }
        if os.environ.get("GPUQ_TESTING") == "1":
            inherited |= {
                name: value
                for name, value in os.environ.items()
                if _INHERITED_IN_TESTS.fullmatch(name)
            }
        return {**inherited, "PYTHONUNBUFFERED": "1", "DATA_ROOT": str(self._data_root), **own}

    def _spawn(self, folder: Path) -> None:
        """Start the folder's runner; of two, the one that comes second goes away again."""
        lifeline = os.environ.get("LIFELINE_FD")
        try:
            with (folder / "runner.log").open("ab") as output:
                runner = subprocess.Popen(
                    [sys.executable, "-m", "scheduler.engines.local.runner", str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    pass_fds=(int(lifeline),) if lifeline else (),
                )
        except OSError as error:  # deleted a moment ago, or nothing can be started now: the next look tries again
            log.warning(
                "A workflow's runner could not be started.",
                workflow=folder.name,
                error=error.strerror,
            )
            return
        self._runners.append(runner)

    # -- looking ---------------------------------------------------------------------------------------------------

    def _marks(self, known: frozenset[_Mark] = frozenset()) -> frozenset[_Mark]:
        """(workflow, `started.json` or `exit.json`) for each of these files; a workflow that has ended stays so."""
        try:
            names = [path.name for path in self._state.iterdir() if not path.name.startswith(".")]
        except OSError:
            return frozenset()
        over = {(name, mark) for name in names if (name, "exit.json") in known for mark in _MARKS}
        open_names = (name for name in names if (name, "exit.json") not in known)
        seen = {
            (name, mark)
            for name in open_names
            for mark in _MARKS
            if (self._state / name / mark).exists()
        }
        return frozenset(over | seen)

    def _status(self, folder: Path) -> WorkflowStatus | None:
        over = self._over.get(folder.name)
        if over is not None:
            return over
        try:
            status = self._read_status(folder)
        except (
            OSError,
            ValueError,
            KeyError,
        ) as error:  # never "there is none": that would end its job
            raise EngineUnavailable(
                f"The workflow folder {folder} cannot be read ({error}); mend or remove it."
            ) from error
        if status is not None and not status.is_live:
            self._over[folder.name] = status
        return status

    def _read_status(self, folder: Path) -> WorkflowStatus | None:
        launch = _read_json(folder / "launch.json")
        if launch is None:
            return None
        # The order matters: the runner locks, then writes started.json; it writes exit.json, then unlocks.
        started = _read_json(folder / "started.json")
        held = started is not None and _is_held(folder / "lock")
        ended = _read_json(folder / "exit.json")
        known = {
            "name": folder.name,
            "engine": self.name,
            "uid": launch["uid"],
            "job_id": launch["job_id"],
            "attempt": launch["attempt"],
            "node": self._node,
            "gpu_uuids": tuple(launch["gpu_uuids"]),
            "started_at": started and started["at"],
            "submission": launch.get("submission"),  # an older gpuq did not write it
        }
        if started is None:
            return WorkflowStatus(phase=WorkflowPhase.PENDING, **known)
        if ended is None and held:
            return WorkflowStatus(phase=WorkflowPhase.RUNNING, **known)
        return _ended_status(folder, known, ended)


def _parameters(workflow: dict[str, Any]) -> dict[str, str]:
    return {
        item["name"]: str(item.get("value", ""))
        for item in workflow["spec"]["arguments"]["parameters"]
    }


def _filled(workflow: dict[str, Any], text: str) -> str:
    """`text` with its `{{workflow.parameters.…}}` filled in, as Argo does it; other expressions are refused."""
    parameters = _parameters(workflow)
    unknown = [name for name in _PARAMETER.findall(text) if name not in parameters]
    rest = _PARAMETER.sub("", text)
    if unknown or "{{" in rest:
        raise WorkflowRejected(
            f"The one-machine engine cannot fill in {text!r}; it knows {', '.join(parameters)}."
        )
    return _PARAMETER.sub(lambda match: parameters[match[1]], text)


def _value(item: dict[str, Any]) -> str:
    if "value" not in item:
        raise WorkflowRejected(
            f"The one-machine engine knows no valueFrom, which env {item['name']} has; give it a value."
        )
    return str(item["value"])


def _write(fresh: Path, workflow: dict[str, Any], launch: dict[str, Any], config_text: str) -> None:
    """The whole folder of a workflow, still under another name."""
    config = fresh / "config" / _parameters(workflow)["config"]
    config.parent.mkdir(parents=True)
    config.write_text(config_text, encoding="utf-8")
    text = yaml.safe_dump(workflow, sort_keys=False, allow_unicode=True)
    (fresh / "workflow.yaml").write_text(text, encoding="utf-8")
    write_json(fresh / "launch.json", launch)


def _ended_status(
    folder: Path, known: dict[str, Any], ended: dict[str, Any] | None
) -> WorkflowStatus:
    tail = _log_tail(folder / "output.log")
    if (
        ended is None
    ):  # nothing holds the lock, so nothing of it runs; but its runner could not say how it ended
        return WorkflowStatus(
            phase=WorkflowPhase.FAILED,
            ended_by=EndedBy.EVICTION,
            message="Its runner was killed",
            log_tail=tail,
            **known,
        )
    succeeded = ended["exit_code"] == 0
    return WorkflowStatus(
        phase=WorkflowPhase.SUCCEEDED if succeeded else WorkflowPhase.FAILED,
        finished_at=ended["at"],
        exit_code=ended["exit_code"],
        ended_by=EndedBy(ended["ended_by"]),
        message=ended["message"],
        log_tail=tail,
        **known,
    )


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _log_tail(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(line for line in lines[-LOG_TAIL_LINES:] if line.strip())
