"""Test the local engine with real processes that are created once, found again, stopped, timed out
and killed in every way.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from devtools import ROOT
from devtools.testbed.fakes import make_job
from devtools.testbed.system import wait_for
from scheduler.engines.contract import (
    EndedBy,
    EngineUnavailable,
    Placement,
    WorkflowExists,
    WorkflowNotMade,
    WorkflowPhase,
    WorkflowRejected,
)
from scheduler.engines.local.engine import LocalEngine
from workflows.render import load_template, render

TOY = load_template(ROOT / "tests" / "templates", "toy")
HERE = Placement("here")


class Bench:
    """This is an engine in a folder, with the steps that the tests share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = self.another()

    def another(self) -> LocalEngine:
        """Return the engine as a restarted scheduler opens it."""
        return LocalEngine(
            self.folder / "wf",
            self.folder / "data",
            {"toy:latest": ROOT / "tests" / "toy_trainer"},
            "here",
        )

    def make(self, config: dict[str, Any], placement: Placement = HERE, **fields: Any) -> str:
        job = make_job(spec_workflow="toy", **fields)
        job = replace(job, spec=replace(job.spec, config_text=json.dumps(config)))
        workflow = render(TOY, job, require_gpu=bool(placement.gpu_uuids))
        self.engine.create(workflow, job.spec.config_text, placement)
        return str(workflow["metadata"]["name"])

    def until(self, name: str, phase: WorkflowPhase) -> Any:
        def there() -> Any:
            status = self.engine.get(name)
            return status if status is not None and status.phase is phase else None

        return wait_for(f"{name} is {phase}", there, 15)

    def lives(self) -> list[dict[str, Any]]:
        path = self.folder / "data" / "ann" / "runs" / "ann_20261124120001" / "lives.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [life for line in lines if (life := json.loads(line))["what"] != "arrive"]

    def training(self) -> psutil.Process:
        """Return the training's process once it has begun."""
        return psutil.Process(wait_for("the training begins", self.lives, 15)[-1]["pid"])

    def runner_pid(self, name: str) -> int:
        return int(json.loads((self.folder / "wf" / name / "started.json").read_text())["pid"])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("LOCAL_GRACE_S", "2")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    bench = Bench(tmp_path)
    yield bench
    for status in bench.engine.workflows():
        bench.engine.stop(status)
    wait_for(
        "all ended", lambda: not any(status.is_live for status in bench.engine.workflows()), 15
    )


def test_succeeds_with_its_log(bench: Bench) -> None:
    status = bench.until(bench.make({"seconds": 0.1, "say": "hello"}), WorkflowPhase.SUCCEEDED)
    assert (status.exit_code, status.log_tail, status.ended_by) == (0, ("hello",), EndedBy.ITSELF)
    assert status.started_at <= status.finished_at


def test_fails_with_its_exit_code_and_last_lines(bench: Bench) -> None:
    status = bench.until(bench.make({"seconds": 0, "exit": 3}), WorkflowPhase.FAILED)
    assert status.exit_code == 3
    assert status.log_tail[-1] == "the training could not continue"


def test_a_name_is_taken_once(bench: Bench) -> None:
    name = bench.make({"seconds": 30})
    with pytest.raises(WorkflowExists, match=name):
        bench.make({"seconds": 0})
    assert len(bench.engine.workflows()) == 1


def test_the_training_gets_its_own_environment_and_not_that_of_the_scheduler(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@host")
    name = bench.make({"seconds": 30}, Placement("here", ("GPU-a", "GPU-b")))
    env = bench.training().environ()
    assert "REDIS_URL" not in env
    assert env["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"
    assert env["WORK_DIR"] == "/data/ann"
    assert env["JOB_ID"] == "ann_20261124120001"
    assert env["DATA_ROOT"] == str(bench.folder / "data")
    assert env["CONFIG_FILE"] == str(bench.folder / "wf" / name / "config" / "config.yaml")


def test_stop_lets_it_write_its_checkpoint(bench: Bench) -> None:
    name = bench.make({"seconds": 30})
    bench.training()
    bench.engine.stop(bench.until(name, WorkflowPhase.RUNNING))
    status = bench.until(name, WorkflowPhase.FAILED)
    assert (status.exit_code, status.ended_by) == (143, EndedBy.STOP)
    assert [life["what"] for life in bench.lives()] == ["start", "end"]


def test_a_time_limit(bench: Bench) -> None:
    status = bench.until(bench.make({"seconds": 30}, spec_time_limit_s=1), WorkflowPhase.FAILED)
    assert status.ended_by is EndedBy.TIME_LIMIT


def test_another_scheduler_finds_it_running_and_sees_its_end(bench: Bench) -> None:
    name = bench.make({"seconds": 1})
    bench.training()
    bench.engine = bench.another()
    assert bench.engine.get(name).phase is WorkflowPhase.RUNNING
    assert bench.until(name, WorkflowPhase.SUCCEEDED).exit_code == 0
    assert [life["what"] for life in bench.lives()] == ["start", "end"]


def test_a_killed_training_has_failed(bench: Bench) -> None:
    name = bench.make({"seconds": 30})
    bench.training().kill()
    status = bench.until(name, WorkflowPhase.FAILED)
    assert (status.exit_code, status.ended_by) == (137, EndedBy.ITSELF)


def test_a_killed_runner_takes_the_training_with_it(bench: Bench) -> None:
    name = bench.make({"seconds": 30})
    training = bench.training()
    os.kill(bench.runner_pid(name), signal.SIGKILL)
    status = bench.until(name, WorkflowPhase.FAILED)
    assert status.ended_by is EndedBy.EVICTION
    assert not training.is_running() or training.status() == psutil.STATUS_ZOMBIE


def test_a_second_runner_of_the_same_workflow_exits(bench: Bench) -> None:
    name = bench.make({"seconds": 1})
    bench.training()
    again = subprocess.run(
        [sys.executable, "-m", "scheduler.engines.local.runner", str(bench.folder / "wf" / name)],
        timeout=15,
    )
    assert again.returncode == 0
    bench.until(name, WorkflowPhase.SUCCEEDED)
    assert [life["what"] for life in bench.lives()] == ["start", "end"]


def test_workers_that_a_training_leaves_behind_are_ended(bench: Bench) -> None:
    name = bench.make({"seconds": 30, "cores": 1})
    worker = wait_for("a worker", bench.training().children, 10)[0]
    bench.training().kill()
    bench.until(name, WorkflowPhase.FAILED)
    wait_for(
        "the worker is gone",
        lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE,
        5,
    )


def test_a_closed_lifeline_stops_the_training_in_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_end, write_end = os.pipe()
    monkeypatch.setenv("LIFELINE_FD", str(read_end))
    name = bench.make({"seconds": 30})
    bench.training()
    os.close(write_end)
    status = bench.until(name, WorkflowPhase.FAILED)
    os.close(read_end)
    assert (status.ended_by, status.exit_code) == (EndedBy.SHUTDOWN, 143)


def test_a_workflow_made_but_not_started_is_started_by_the_next_poll(bench: Bench) -> None:
    name = bench.make({"seconds": 0})
    bench.until(name, WorkflowPhase.SUCCEEDED)
    made = bench.folder / "wf" / name
    for trace in ("started.json", "exit.json", "lock"):
        (made / trace).unlink()
    shutil.rmtree(bench.folder / "data")
    bench.engine = bench.another()
    assert bench.engine.get(name).phase is WorkflowPhase.PENDING
    bench.engine.workflows()
    bench.until(name, WorkflowPhase.SUCCEEDED)


def test_watch_reports_starts_and_ends(bench: Bench) -> None:
    changes: list[int] = []
    stopping = threading.Event()
    watcher = threading.Thread(
        target=bench.engine.watch, args=(lambda: changes.append(1), stopping)
    )
    watcher.start()
    try:
        bench.until(bench.make({"seconds": 0.5}), WorkflowPhase.SUCCEEDED)
        wait_for("both were told", lambda: len(changes) >= 2, 5)
    finally:
        stopping.set()
        watcher.join()


def test_delete_removes_only_ended_workflows(bench: Bench) -> None:
    name = bench.make({"seconds": 30})
    running = bench.until(name, WorkflowPhase.RUNNING)
    bench.engine.delete(running)
    assert bench.engine.get(name) is not None
    bench.training()
    bench.engine.stop(running)
    ended = bench.until(name, WorkflowPhase.FAILED)
    bench.engine.delete(replace(ended, uid="other"))
    assert bench.engine.get(name) is not None
    bench.engine.delete(ended)
    assert bench.engine.get(name) is None


def test_an_image_without_a_folder_is_refused_without_a_retry(bench: Bench) -> None:
    bench.engine = LocalEngine(bench.folder / "wf", bench.folder, {}, "here")
    with pytest.raises(WorkflowRejected, match="LOCAL_IMAGES"):
        bench.make({})


def test_a_folder_that_cannot_be_written_is_not_made(bench: Bench) -> None:
    shutil.rmtree(bench.folder / "wf")
    (bench.folder / "wf").write_text("a file")
    with pytest.raises(WorkflowNotMade, match="could not be written"):
        bench.make({})
    (bench.folder / "wf").unlink()
    (bench.folder / "wf").mkdir()


def test_a_program_that_does_not_exist(bench: Bench) -> None:
    job = make_job(spec_workflow="toy")
    workflow = render(TOY, job, require_gpu=False)
    workflow["spec"]["templates"][0]["container"]["command"] = ["no-such-program"]
    bench.engine.create(workflow, "{}", HERE)
    status = bench.until(workflow["metadata"]["name"], WorkflowPhase.FAILED)
    assert status.exit_code == 127
    assert "no-such-program" in status.message


def test_a_folder_that_cannot_be_read_means_that_the_engine_does_not_answer(bench: Bench) -> None:
    """The engine must not report "there is no such workflow": that would end its job."""
    name = bench.make({"seconds": 0})
    bench.until(name, WorkflowPhase.SUCCEEDED)
    (bench.folder / "wf" / name / "launch.json").write_text("{")
    bench.engine = bench.another()
    with pytest.raises(EngineUnavailable, match=name):
        bench.engine.workflows()
    shutil.rmtree(bench.folder / "wf" / name)


def test_incomplete_folders_are_removed_at_the_start(bench: Bench) -> None:
    (bench.folder / "wf" / ".new-1").mkdir()
    (bench.folder / "wf" / ".gone-2").mkdir()
    bench.another()
    assert list((bench.folder / "wf").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"env": [{"name": "X", "valueFrom": {}}]}, "valueFrom"),
        ({"command": []}, "no command"),
        ({"args": ["{{workflow.parameters.unknown}}"]}, "cannot evaluate"),
        ({"args": ["{{=1+1}}"]}, "cannot evaluate"),
    ],
)
def test_templates_that_one_machine_cannot_run_are_refused_with_a_sentence(
    bench: Bench, change: dict[str, Any], says: str
) -> None:
    workflow = render(TOY, make_job(spec_workflow="toy"), require_gpu=False)
    workflow["spec"]["templates"][0]["container"].update(change)
    with pytest.raises(WorkflowRejected, match=says):
        bench.engine.create(workflow, "{}", HERE)


def test_arguments_are_filled_in(bench: Bench) -> None:
    workflow = render(TOY, make_job(spec_workflow="toy"), require_gpu=False)
    container = workflow["spec"]["templates"][0]["container"]
    container["command"], container["args"] = (
        ["echo"],
        ["{{workflow.parameters.user}} in {{workflow.parameters.workdir}}"],
    )
    bench.engine.create(workflow, "{}", HERE)
    assert bench.until(workflow["metadata"]["name"], WorkflowPhase.SUCCEEDED).log_tail == (
        "ann in /data/ann",
    )
