"""Too little memory or an unreadable sample is reported in one sentence; a retry succeeds."""

from collections.abc import Callable
from functools import partial

import pytest

from proto_gcn.errors import DataError
from tests.training.forked import SCORING, STEP, Hook, at_call
from tests.training.lab import BATCH, STEPS, Lab

LOADING, READING = (
    "proto_gcn.engine.run.load_splits",
    "proto_gcn.data.dataset.SkeletonDataset._batch",
)
KEPT = "; the last checkpoint is kept"
EACH_STEP = (
    f"halve data.videos_per_gpu ({BATCH} -> {BATCH // 2}) and optimizer.lr with it, "
    "or keep both and double"
)


def starve() -> None:
    """Raise the error as PyTorch words it on a CPU."""
    raise RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    )


def unreadable() -> None:
    raise DataError("kp/7.pkl: sample b is cut off")


@pytest.mark.parametrize(
    ("hook", "sentence"),
    [
        (
            partial(at_call, STEP, STEPS + 2, starve),
            f"out of memory: {EACH_STEP} engine.accumulate (1 -> 2){KEPT}",
        ),
        (
            partial(at_call, SCORING, 2, starve),
            f"out of memory: halve data.val_clips (9 -> 4){KEPT}",
        ),
        (
            partial(at_call, SCORING, 5, starve),
            f"out of memory: halve data.test_clips (10 -> 5){KEPT}",
        ),
        (
            partial(at_call, LOADING, 1, starve),
            "out of memory outside the training steps: give the training more memory, then retry",
        ),
    ],
    ids=["step", "validation", "test", "loading"],
)
def test_out_of_memory_ends_with_the_remedy_for_its_place(
    hook: Hook, sentence: str, lab: Lab
) -> None:
    lab.configure(data={"val_clips": 9, "test_clips": 10})
    code, lines = lab.fork(hook)
    assert (code, lines[-1]) == (1, sentence)
    assert lab.fork()[0] == 0
    lab.assert_done()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_sample_ends_with_2_and_its_name(workers: int, lab: Lab) -> None:
    lab.configure(data={"workers_per_gpu": workers})
    reads: Callable[[], None] = partial(at_call, READING, 2, unreadable)
    code, lines = lab.fork(reads)
    assert (code, lines[-1]) == (2, "kp/7.pkl: sample b is cut off")
