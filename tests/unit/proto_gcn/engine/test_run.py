"""What surrounds a training: settings, failpoints, its folder and lock, its logs, signals."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from proto_gcn.atomic_file import write_atomically
from proto_gcn.engine import failpoint
from proto_gcn.engine.reporting.reporter import epoch_line
from proto_gcn.engine.reporting.run_log import MetricsLog, RunLog, duration
from proto_gcn.engine.reporting.telemetry import Gpu, Sample
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.settings import RunSettings
from proto_gcn.engine.stopping import Stop, Stopped
from proto_gcn.errors import BusyError, ConfigError

ENVIRONMENT = {"CONFIG_FILE": "/c.yaml", "WORK_DIR": "/data/ann", "JOB_ID": "ann_1"}


def test_settings_resolve_data_paths() -> None:
    settings = RunSettings.from_environment(ENVIRONMENT | {"DATA_ROOT": "/home/ann/gpuq"})
    assert settings.run_folder() == Path("/home/ann/gpuq/ann/runs/ann_1")
    assert settings.path("/data/datasets/x.pkl") == Path("/home/ann/gpuq/datasets/x.pkl")
    assert settings.path("/database/x.pkl") == Path("/database/x.pkl")
    assert RunSettings.from_environment(ENVIRONMENT).path("/data/x") == Path("/data/x")
    assert (
        RunSettings.from_environment(
            ENVIRONMENT | {"GPU_UTILIZATION_PERCENT": "off"}
        ).gpu_utilization_percent
        is None
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"CONFIG_FILE": ""}, "CONFIG_FILE is not set"),
        ({"JOB_ID": ""}, "JOB_ID must name one folder"),
        ({"JOB_ID": "../x"}, "JOB_ID must name one folder"),
        ({"RUN_LOCK_WAIT_S": "soon"}, "RUN_LOCK_WAIT_S must be a number from 0 up, not 'soon'"),
        ({"GPU_UTILIZATION_PERCENT": "nan"}, "GPU_UTILIZATION_PERCENT must be a number"),
        ({"REQUIRE_GPU": "yes"}, "REQUIRE_GPU must be true or false, not 'yes'"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        RunSettings.from_environment(ENVIRONMENT | change)


def test_failpoints_are_refused_outside_tests_and_unknown_ones_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = "trainer.result.before:raise"
    with pytest.raises(ConfigError, match="works only in tests"):
        failpoint.check({"FAILPOINT": wanted})
    for wrong in ("trainer.nowhere:kill", "trainer.result.before:explode", "trainer.result.before"):
        with pytest.raises(ConfigError, match="must be one of"):
            failpoint.check({"FAILPOINT": wrong, "GPUQ_TESTING": "1"})
    failpoint.check({"FAILPOINT": wanted, "GPUQ_TESTING": "1"})
    monkeypatch.setenv("FAILPOINT", wanted)
    failpoint.reach("trainer.result.before")  # not armed without GPUQ_TESTING
    monkeypatch.setenv("GPUQ_TESTING", "1")
    failpoint.reach("trainer.result.after")
    with pytest.raises(failpoint.FailpointError):
        failpoint.reach("trainer.result.before")


def _hold(path: Path, held: Any, release: Any) -> None:
    with RunFolder(path).locked(0, print):
        held.set()
        release.wait()


def test_the_kernel_releases_the_lock_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held, release))
    process.start()
    assert held.wait(30)
    with (
        pytest.raises(BusyError, match="another process is training"),
        RunFolder(tmp_path).locked(0.1, print),
    ):
        pass
    process.kill()
    process.join()
    with RunFolder(tmp_path).locked(0, print):
        pass


def test_an_atomic_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "x", b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(5, "I/O error")))
    with pytest.raises(OSError, match="I/O error"):
        write_atomically(tmp_path / "x", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")]


def test_a_torn_line_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"kind":"epoch","epoch":1}\n{"kind":"epo')
    metrics = MetricsLog(path)
    metrics.write("epoch", epoch=2)
    assert len(path.read_text().splitlines()) == 3
    assert [metrics.has_epoch(e) for e in (1, 2, 3)] == [True, True, False]


def test_trace_backs_go_to_the_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = RunLog()
    log.open(tmp_path / "train.log")
    try:
        raise RuntimeError("deep inside")
    except RuntimeError:
        log.trace()
    log.line("one sentence")
    assert "deep inside" in (tmp_path / "train.log").read_text()
    assert capsys.readouterr().out == "one sentence\n"


def test_durations_and_the_epoch_line() -> None:
    assert [duration(s) for s in (None, 9.2, 125, 4920)] == ["?", "9s", "2m05s", "1h22m"]
    report = {
        "epoch": 12,
        "epochs": 150,
        "loss": 1.8312,
        "top1": 61.2,
        "best_top1": 63.0,
        "best_epoch": 10,
    }
    report |= {"lr": 0.05, "samples_per_s": 412.4, "eta_s": 4920}
    gpu = Gpu(0, None, 71, 8294, 24576, None)
    line = "epoch 12/150 loss 1.83 top1 61.2 (best 63.0 @10) lr 0.05 412 clips/s ETA 1h22m"
    assert epoch_line(report, Sample()) == line
    assert epoch_line(report, Sample([gpu])) == f"{line} GPU 71% 8.1/24 GB"


@pytest.mark.parametrize(("text", "promised"), [("true", True), ("false", False), ("", False)])
def test_require_gpu_is_read(text: str, promised: bool) -> None:
    assert RunSettings.from_environment(ENVIRONMENT | {"REQUIRE_GPU": text}).require_gpu is promised
    assert RunSettings.from_environment(ENVIRONMENT).require_gpu is False


def test_a_signal_raises_at_once_until_it_is_deferred() -> None:
    stop = Stop()
    stop.defer()
    stop._received(15, None)
    assert stop.requested
    stop = Stop()
    with pytest.raises(Stopped):
        stop._received(15, None)
    stop._received(15, None)  # a second one does not disturb the way out
