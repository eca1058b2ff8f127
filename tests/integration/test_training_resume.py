"""An interrupted training gives bit for bit the result of an uninterrupted one."""

import json
import random
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from proto_gcn.engine import failpoint, trainer
from tests.training.forked import (
    SCORING,
    STEP,
    at_call,
    at_point,
    die,
    save_after_every_step,
    stop,
    take,
)
from tests.training.lab import EPOCHS, STEPS, Lab
from tests.training.same import assert_same_training, differences

Make = Callable[..., Lab]
Whole = Callable[..., Lab]
UNPICKLING = "proto_gcn.data.files.pickle_file._RestrictedUnpickler.load"
KILLED, STOPPED = -signal.SIGKILL, 128 + signal.SIGTERM
OPTIONS = {
    "model": {"backbone": {"prn_dropout": 0.3}, "cls_head": {"dropout": 0.5}},
    "data": {"flip": 0.5, "part_drop": 0.5, "fresh_draws": True},
    "engine": {"accumulate": 2, "recompute": "blocks"},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """This class trains each config once without interruption."""
    runs: dict[str, Lab] = {}

    def trained(**changes: Any) -> Lab:
        if str(changes) not in runs:
            lab = runs[str(changes)] = Lab(tmp_path_factory.mktemp("whole") / "data")
            lab.configure(**changes)
            assert lab.fork()[0] == 0
        return runs[str(changes)]

    return trained


def assert_ends_as(whole: Lab, lab: Lab) -> list[str]:
    """Retry without an interruption and return the printed lines."""
    code, lines = lab.fork()
    assert code == 0, lines
    assert_same_training(lab.folder, whole.folder)
    return lines


def test_another_seed_changes_everything_that_is_compared(make_lab: Make, whole: Whole) -> None:
    lab = make_lab("other")
    lab.configure(seed=2)
    assert lab.fork()[0] == 0
    found = {".".join(name.split(".")[:2]) for name in differences(lab.folder, whole().folder)}
    state = {
        f"{file}.{part}"
        for file in ("latest", "best")
        for part in ("state_dict", "optimizer", "memory", "randoms")
    }
    assert state <= found
    assert "epochs.1" in found


@pytest.mark.parametrize("name", failpoint.NAMES)
def test_a_kill_at_any_write(name: str, lab: Lab, whole: Whole) -> None:
    ends = [lab.fork(FAILPOINT=f"{name}:kill")[0]]
    for number in (3, 2):  # at a point that is reached less often the run ends normally
        ends.append(lab.fork(partial(at_point, name, number, die))[0])
    assert ends[0] == KILLED
    assert set(ends) <= {KILLED, 0}
    assert_ends_as(whole(), lab)
    lab.assert_done()


@pytest.mark.parametrize("seed", range(4))
def test_kills_at_any_moment(seed: int, lab: Lab, whole: Whole) -> None:
    """Every second run has a worker and saves after every step, so that more kills hit a write."""
    generator, hooks = random.Random(seed), [save_after_every_step] * (seed % 2)
    lab.configure(data={"workers_per_gpu": seed % 2})
    takes = json.loads((whole().folder / "result.json").read_text())["duration_s"]
    for _ in range(5):
        process = lab.start_forked(*hooks)
        process.join(generator.uniform(0, 2 * takes))
        process.kill()
        process.join()
    assert_ends_as(whole(), lab)


@pytest.mark.parametrize("workers", [(0, 0, 0), (2, 2, 2), (0, 2, 1), (2, 0, 0)], ids=str)
def test_sigterm_in_mid_epoch(workers: tuple[int, ...], lab: Lab, whole: Whole) -> None:
    for number, own in zip((STEPS + 2, 3, None), workers, strict=True):
        lab.configure(data={"workers_per_gpu": own})
        if number:
            assert lab.fork(partial(at_call, STEP, number, stop))[0] == STOPPED
    assert lab.checkpoint()["progress"]["step"] == 5
    assert_ends_as(whole(), lab)


@pytest.mark.parametrize("number", [2, EPOCHS + 1], ids=["validation", "test"])
def test_sigterm_while_it_evaluates(number: int, lab: Lab, whole: Whole) -> None:
    lab.configure(data={"test_clips": 2})
    assert lab.fork(partial(at_call, SCORING, number, stop))[0] == STOPPED
    assert_ends_as(whole(data={"test_clips": 2}), lab)


def test_a_kill_in_mid_epoch_loses_only_the_steps_after_the_last_checkpoint(
    lab: Lab, whole: Whole
) -> None:
    for number, place in ((STEPS + 3, (1, 2)), (3, (1, 4))):  # the step of the death is not done
        assert lab.fork(save_after_every_step, partial(at_call, STEP, number, die))[0] == KILLED
        progress = lab.checkpoint()["progress"]
        assert (progress["epoch"], progress["step"]) == place
    lines = assert_ends_as(whole(), lab)
    assert lines[0] == f"resuming from {lab.latest} after 1 epochs and 4 steps"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_options_with_a_state_resume_to_the_same_training(
    precision: str, lab: Lab, whole: Whole
) -> None:
    changes = OPTIONS | {"engine": OPTIONS["engine"] | {"precision": precision}}
    lab.configure(**changes)
    assert lab.fork(partial(at_call, STEP, STEPS + 2, stop))[0] == STOPPED
    assert lab.fork(save_after_every_step, partial(at_call, STEP, STEPS, die))[0] == KILLED
    assert_ends_as(whole(**changes), lab)


def test_checkpoints_and_evaluations_at_other_intervals(lab: Lab, whole: Whole) -> None:
    changes = {"checkpoint_config": {"interval": 3}, "evaluation": {"interval": 2}}
    lab.configure(**changes)
    for number in (STEPS + 2, 2 * STEPS + 2, 2, STEPS // 2):
        assert lab.fork(partial(at_call, STEP, number, die))[0] == KILLED
    assert_ends_as(whole(**changes), lab)


def test_a_damaged_latest_checkpoint(lab: Lab, whole: Whole) -> None:
    assert lab.fork(partial(at_call, STEP, 2 * STEPS + 2, die))[0] == KILLED
    lab.latest.write_bytes(lab.latest.read_bytes()[:-500])
    assert lab.fork(partial(at_call, STEP, 1, die))[0] == KILLED
    assert_ends_as(whole(), lab)


@pytest.mark.parametrize("within", ["torch.load", UNPICKLING])
def test_sigterm_during_set_up_loses_nothing(within: str, lab: Lab, whole: Whole) -> None:
    """A checkpoint that was being read is not damaged."""
    assert lab.fork(partial(at_call, STEP, STEPS + 2, stop))[0] == STOPPED
    before = lab.latest.read_bytes()
    code, lines = lab.fork(partial(at_call, within, 1, stop))
    assert (code, lines[-1]) == (
        STOPPED,
        "stopped by SIGTERM before its first step; a retry resumes from the last checkpoint",
    )
    assert lab.latest.read_bytes() == before
    assert lab.fork()[0] == 0
    assert_same_training(lab.folder, whole().folder)


def test_saving_the_best_does_not_postpone_the_latest_checkpoint(lab: Lab) -> None:
    """Ten minutes end one step after the first epoch, which is the best so far."""
    lab.configure(checkpoint_config={"interval": 2})
    a_step_s = trainer.CHECKPOINT_EVERY_S / (STEPS + 0.5)
    assert lab.fork(partial(take, a_step_s), partial(at_call, STEP, STEPS + 3, die))[0] == KILLED
    assert [lab.checkpoint()["progress"][name] for name in ("epoch", "step", "best_epoch")] == [
        1,
        1,
        1,
    ]
