"""The liveness file: what touches it, and what the probe reports."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scheduler.engines.contract import EngineUnavailable
from scheduler.health.liveness import MAX_AGE_S, LivenessFile, why_dead
from tests.unit.scheduler.conftest import Rig


def probe(**env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "HEARTBEAT_FILE"}
    command = [sys.executable, "-m", "scheduler.health.liveness"]
    return subprocess.run(command, env={**kept, **env}, capture_output=True, text=True, timeout=60)


def test_the_probe_fails_without_a_recent_file(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    assert probe(HEARTBEAT_FILE=str(path)).returncode == 1
    LivenessFile(path).touch()
    assert probe(HEARTBEAT_FILE=str(path)).returncode == 0
    os.utime(path, (0, 0))
    old = probe(HEARTBEAT_FILE=str(path))
    assert old.returncode == 1
    assert "s old (limit: 60 s)" in old.stderr
    assert "HEARTBEAT_FILE is not set" in probe().stderr


def test_the_limit_of_the_files_age(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    LivenessFile(path).touch()
    touched = path.stat().st_mtime
    assert why_dead(path, touched + MAX_AGE_S) == ""
    assert (
        why_dead(path, touched + MAX_AGE_S + 1)
        == "The scheduler's last heartbeat is 61 s old (limit: 60 s)."
    )


@pytest.mark.parametrize("path", [None, Path("/proc/no/such/folder/heartbeat")])
def test_touching_never_raises(path: Path | None) -> None:
    LivenessFile(path).touch()


@pytest.mark.parametrize("away", [False, True])
def test_the_loop_touches_it_however_its_cycles_end(rig: Rig, tmp_path: Path, away: bool) -> None:
    path = tmp_path / "heartbeat"
    rig.settings = rig.settings.model_copy(update={"heartbeat_file": path})
    rig.engine.away = EngineUnavailable("The API server does not answer.") if away else None
    scheduler = rig.scheduler()
    pause = scheduler.guarded_cycle(True)
    path.unlink(missing_ok=True)
    scheduler.waker.wake()
    assert scheduler.pause(pause)
    assert time.time() - path.stat().st_mtime < MAX_AGE_S


def test_the_pause_honours_the_engines_retry_after(rig: Rig) -> None:
    rig.engine.away = EngineUnavailable("Too many requests.", retry_after_s=45)
    assert rig.scheduler().guarded_cycle(True) == 45
    rig.engine.away = EngineUnavailable("Too many requests.", retry_after_s=100_000)
    assert rig.scheduler().guarded_cycle(True) == 300
    rig.engine.away = EngineUnavailable("No answer.")
    assert rig.scheduler().guarded_cycle(True) <= 1
