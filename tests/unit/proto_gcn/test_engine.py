import json
import multiprocessing
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.atomic_file import write_atomically
from proto_gcn.config import EvaluationConfig, TrainConfig
from proto_gcn.engine import checkpoint, device, failpoint, telemetry
from proto_gcn.engine.checkpoint import DamagedError, Progress
from proto_gcn.engine.evaluation import mean_class, measure, top_k
from proto_gcn.engine.learner import Learner, cosine
from proto_gcn.engine.reporter import epoch_line
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.run_log import MetricsLog, RunLog, duration
from proto_gcn.engine.settings import RunSettings
from proto_gcn.engine.stopping import Stop
from proto_gcn.engine.telemetry import Gpu, Sample, Telemetry
from proto_gcn.errors import BusyError, ConfigError, TerminatedError, TrainerError

CPU = torch.device("cpu")
ENVIRONMENT = {"CONFIG_FILE": "/c.yaml", "WORK_DIR": "/data/ann", "JOB_ID": "ann_1"}


def trained(config: TrainConfig, steps: int = 2) -> Learner:
    learner = Learner(config, CPU)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        learner.step(torch.randn(4, 1, 2, 8, 25, 3, generator=generator), torch.tensor([0, 1, 2, 3]), lr=0.1)
    return learner


def saved(path: Path, config: TrainConfig, learner: Learner, progress: Progress) -> dict[str, Any]:
    checkpoint.write(path, checkpoint.encode(learner.model, learner.optimizer, progress, config))
    return checkpoint.read(path)


def test_a_restored_run_goes_on_bit_for_bit(config: TrainConfig, tmp_path: Path) -> None:
    learner = trained(config)
    content = saved(tmp_path / "x.pth", config, learner, Progress(epoch=3, step=1, loss_sum=2.5, report={"top1": 50.0}))

    def go_on(it: Learner) -> list[Any]:
        loss = it.step(torch.ones(4, 1, 2, 8, 25, 3), torch.tensor([0, 1, 2, 3]), lr=0.1)
        state = [*it.model.state_dict().values(), it.model.memory]
        return [loss, random.random(), np.random.rand(), torch.rand(1).item(), *(t.sum().item() for t in state)]

    wanted = go_on(learner)
    other = Learner(config.model_copy(update={"seed": 9}), CPU)
    progress = checkpoint.restore(content, other.model, other.optimizer, config)
    assert progress == Progress(epoch=3, step=1, loss_sum=2.5, report={"top1": 50.0})
    assert go_on(other) == wanted


def test_the_contrastive_memory_stays_out_of_the_published_layout(config: TrainConfig, tmp_path: Path) -> None:
    content = saved(tmp_path / "x.pth", config, trained(config, 1), Progress())
    assert [key for key in content["state_dict"] if "memory" in key] == ["backbone.prn.memory_matrix.weight"]
    assert content["memory"].shape == (6, 4)


def test_a_failed_write_keeps_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latest.pth"
    checkpoint.write(path, b"good")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        TrainerError, match=r"cannot write .*latest\.pth: No space left .* earlier checkpoint is intact"
    ):
        checkpoint.write(path, b"bad")
    assert path.read_bytes() == b"good"
    assert [p.name for p in tmp_path.iterdir()] == ["latest.pth"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"garbage" * 100])
def test_a_damaged_checkpoint_is_said(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(DamagedError, match=r"x\.pth is no readable checkpoint"):
        checkpoint.read(tmp_path / "x.pth")


def test_a_truncated_checkpoint_is_said(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    saved(path, config, trained(config, 0), Progress())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DamagedError):
        checkpoint.read(path)


def test_a_checkpoint_of_another_network_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    learner = trained(config, 0)
    content = saved(tmp_path / "x.pth", config, learner, Progress())
    raw = config.model_dump()
    raw["model"]["cls_head"]["num_classes"] = 5
    with pytest.raises(ConfigError, match="other model settings"):
        checkpoint.restore(content, learner.model, learner.optimizer, TrainConfig.model_validate(raw))


def test_weights_of_others_are_loaded_by_name_and_the_rest_is_said(config: TrainConfig) -> None:
    source, learner = trained(config), Learner(config, CPU)
    state = {f"module.{key}": value for key, value in source.model.state_dict().items()}
    del state["module.cls_head.fc_cls.bias"]
    sentences = checkpoint.load_weights({"state_dict": state | {"module.extra": torch.zeros(1)}}, learner.model)
    assert sentences == [
        "load_from: 1 keys missing, left at their start values: cls_head.fc_cls.bias",
        "load_from: 1 keys unknown, ignored: extra",
    ]
    assert torch.equal(learner.model.cls_head.fc_cls.weight, source.model.cls_head.fc_cls.weight)
    with pytest.raises(ConfigError, match=r"1 weights have another shape, the first is cls_head\.fc_cls\.bias"):
        checkpoint.load_weights({"state_dict": {"cls_head.fc_cls.bias": torch.zeros(9)}}, learner.model)
    with pytest.raises(ConfigError, match="weights only"):
        checkpoint.restore({"state_dict": {}}, learner.model, learner.optimizer, config)


def test_a_loss_that_is_not_finite_changes_no_weight(config: TrainConfig) -> None:
    learner = trained(config, 0)
    before = learner.model.cls_head.fc_cls.weight.clone()
    assert np.isnan(learner.step(torch.full((2, 1, 2, 8, 25, 3), torch.nan), torch.tensor([0, 1]), lr=0.1))
    assert torch.equal(learner.model.cls_head.fc_cls.weight, before)
    assert learner.is_finite()
    learner.model.backbone.post.weight.data[0] = torch.inf
    assert not learner.is_finite()


def test_cosine_by_hand() -> None:
    assert [cosine(0.4, 0.0, i, 4) for i in (0, 2, 4)] == pytest.approx([0.4, 0.2, 0.0])
    assert cosine(0.4, 0.2, 1, 2) == pytest.approx(0.3)


def test_metrics_by_hand() -> None:
    scores = torch.tensor([[0.7, 0.2, 0.1, 0.0], [0.4, 0.5, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4], [0.9, 0.0, 0.1, 0.0]])
    labels = torch.tensor([0, 0, 2, 0])
    assert (top_k(scores, labels, 1), top_k(scores, labels, 2), top_k(scores, labels, 9)) == (50, 100, 100)
    assert mean_class(scores, labels) == pytest.approx(100 * (2 / 3 + 0 + 0 + 0) / 4)  # 1 and 3 occur as predictions
    asked = EvaluationConfig(metrics=["mean_class_accuracy"], topk=[1])
    assert measure(scores, labels, asked).keys() == {"top1", "mean_class"}


def test_only_a_higher_top1_is_better() -> None:
    progress = Progress(epoch=4)
    assert [progress.is_better(t) for t in (None, 0.0, 0.0, 50.0, 40.0)] == [False, True, False, True, False]
    assert (progress.best_top1, progress.best_epoch) == (50.0, 5)
    assert progress.next_epoch({"epoch": 5}) == Progress(5, best_top1=50.0, best_epoch=5, report={"epoch": 5})


def test_settings_resolve_data_paths() -> None:
    settings = RunSettings.from_environment(ENVIRONMENT | {"DATA_ROOT": "/home/ann/gpuq"})
    assert settings.run_folder() == Path("/home/ann/gpuq/ann/runs/ann_1")
    assert settings.path("/data/datasets/x.pkl") == Path("/home/ann/gpuq/datasets/x.pkl")
    assert settings.path("/database/x.pkl") == Path("/database/x.pkl")
    assert RunSettings.from_environment(ENVIRONMENT).path("/data/x") == Path("/data/x")
    assert (
        RunSettings.from_environment(ENVIRONMENT | {"GPU_UTILIZATION_PERCENT": "off"}).gpu_utilization_percent is None
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


def test_failpoints_are_refused_outside_tests_and_unknown_ones_always(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = "trainer.result.before:raise"
    with pytest.raises(ConfigError, match="works only in tests"):
        failpoint.check({"FAILPOINT": wanted})
    for wrong in ("trainer.nowhere:kill", "trainer.result.before:explode", "trainer.result.before"):
        with pytest.raises(ConfigError, match="is none of"):
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


def test_the_lock_is_the_kernels_and_goes_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held, release))
    process.start()
    assert held.wait(30)
    with pytest.raises(BusyError, match="another process is training"), RunFolder(tmp_path).locked(0.1, print):
        pass
    process.kill()
    process.join()
    with RunFolder(tmp_path).locked(0, print):
        pass


def test_an_atomic_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_traces_go_to_the_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    report = {"epoch": 12, "epochs": 150, "loss": 1.8312, "top1": 61.2, "best_top1": 63.0, "best_epoch": 10}
    report |= {"lr": 0.05, "samples_per_s": 412.4, "eta_s": 4920}
    gpu = Gpu(0, None, 71, 8294, 24576, None)
    line = "epoch 12/150 loss 1.83 top1 61.2 (best 63.0 @10) lr 0.05 412 clips/s ETA 1h22m"
    assert epoch_line(report, Sample()) == line
    assert epoch_line(report, Sample([gpu])) == f"{line} GPU 71% 8.1/24 GB"


def test_a_busy_gpu_is_refused_and_an_unknown_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    busy = Sample([Gpu(0, None, 80, None, None, None)])
    with pytest.raises(BusyError, match=r"GPU 0 is in use by somebody else \(80 %, the limit is 80 %\)"):
        device.pick_device(busy, 80)
    assert device.pick_device(busy, None).type == "cuda"
    idle = Sample([Gpu(0, None, 0, None, None, None), *busy.gpus])  # a second GPU, which we do not use
    assert device.pick_device(idle, 80).type == "cuda"
    assert device.pick_device(Sample([Gpu(0, None, 79, None, None, None)]), 80).type == "cuda"
    assert device.pick_device(Sample([Gpu(0, None, None, None, None, None)]), 80).type == "cuda"


def test_a_promised_gpu_that_cannot_be_used_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainerError, match=r"promised \(REQUIRE_GPU=true\).* set runtimeClassName: nvidia") as refused:
        device.require_gpu()
    assert refused.value.exit_code == 1  # the node's fault: with 2 its user would be told to mend the config
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    device.require_gpu()


@pytest.mark.parametrize(("text", "promised"), [("true", True), ("false", False), ("", False)])
def test_whether_a_gpu_was_promised(text: str, promised: bool) -> None:
    assert RunSettings.from_environment(ENVIRONMENT | {"REQUIRE_GPU": text}).require_gpu is promised
    assert RunSettings.from_environment(ENVIRONMENT).require_gpu is False


def test_memory_errors_become_advice() -> None:
    with pytest.raises(BusyError, match="no memory left"), device.first_allocation():
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(TrainerError, match=r"halve data\.videos_per_gpu \(16 -> 8\)"), device.memory_advice(16):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="something else"), device.memory_advice(16), device.first_allocation():
        raise RuntimeError("something else")


def test_cpu_threads_leave_one_and_respect_the_quota(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(device, "CGROUP_CPU", tmp_path / "cpu.max")
    assert device.cpu_threads() == 7
    for text, threads in (("max 100000", 7), ("400000 100000", 3), ("50000 100000", 1)):
        (tmp_path / "cpu.max").write_text(text)
        assert device.cpu_threads() == threads


def telemetry_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_telemetry_writes_null_for_what_is_unknown(tmp_path: Path) -> None:
    watcher = Telemetry(MetricsLog(tmp_path / "m"), lambda: Sample([Gpu(0, "GPU-1", None, None, 10, None)]))
    sample = watcher.start()
    watcher.stop()
    (line,) = telemetry_lines(tmp_path / "m")
    assert line.pop("at").endswith("Z")
    gpu = {"index": 0, "uuid": "GPU-1", "utilization_percent": None, "memory_used_mb": None, "memory_total_mb": 10}
    host = {"cpu_percent": None, "memory_used_mb": None, "memory_total_mb": None}
    assert line == {"kind": "telemetry", "gpus": [gpu | {"power_w": None}]} | host
    assert sample.gpus[0].memory_total_mb == 10


def test_a_broken_or_hanging_driver_stops_nothing(tmp_path: Path) -> None:
    def broken() -> Sample:
        raise OSError("driver")

    import threading

    release = threading.Event()
    for sample in (broken, lambda: release.wait() and Sample()):
        watcher = Telemetry(MetricsLog(tmp_path / "m"), sample)  # type: ignore[arg-type]
        assert watcher.start(first_within_s=0.05) == Sample()
        watcher.stop()
    release.set()


def test_the_machine_is_sampled_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "pynvml", None)
    sample = telemetry.take_sample()
    assert sample.gpus == []
    assert 0 < sample.memory_used_mb < sample.memory_total_mb
    monkeypatch.setattr(telemetry, "psutil", None)
    assert telemetry.take_sample() == Sample()


class FakeNvml:
    """Two GPUs; the second has no power reading."""

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return int(uuid.removeprefix("GPU-"))

    def nvmlDeviceGetIndex(self, handle: int) -> int:
        return handle

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return type("Rates", (), {"gpu": 10 * handle})

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return type("Memory", (), {"used": 3 * 2**20, "total": 9 * 2**20})

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        if handle == 1:
            raise RuntimeError("not supported")
        return 250_500


@pytest.mark.parametrize(("visible", "indices"), [(None, [0, 1]), ("1", [1]), ("GPU-0", [0]), ("", []), ("7", [])])
def test_gpus_are_those_that_cuda_may_see(
    visible: str | None, indices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "pynvml", FakeNvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = telemetry.take_sample().gpus
    assert gpus == [Gpu(i, f"GPU-{i}", 10 * i, 3, 9, None if i else 250.5) for i in indices]


def test_a_signal_raises_at_once_until_it_is_deferred() -> None:
    stop = Stop()
    with stop.deferred():
        stop._received(15, None)
        assert stop.requested
    stop = Stop()
    with pytest.raises(TerminatedError):
        stop._received(15, None)
    stop._received(15, None)  # a second one does not disturb the way out
