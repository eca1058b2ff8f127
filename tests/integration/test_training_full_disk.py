"""A full disk ends a training with one sentence; a retry with space gives the same result."""

import re
import signal
from collections.abc import Callable
from functools import partial

import pytest

from tests.training.forked import STEP, Hook, at_call, at_point, fill, limit_files
from tests.training.lab import STEPS, Lab
from tests.training.same import assert_same_training

FULL = 1  # the exit code
HALF = 100_000  # bytes; a checkpoint has more
REFUSED = (
    r"cannot write .*\.pth: {} \(1 MB needed\); "
    r"the earlier checkpoint is intact; free space and retry$"
)
SMALL = 100  # bytes; every file that the trainer writes is larger


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("whole") / "data")
    assert lab.fork()[0] == 0
    return lab


def assert_ends_as(whole: Lab, lab: Lab) -> None:
    """Retry, now that there is space."""
    assert lab.fork()[0] == 0
    assert_same_training(lab.folder, whole.folder)


def in_mid_epoch(lab: Lab) -> Hook:
    return partial(at_call, STEP, STEPS + 3, partial(fill, lab.folder / "train.log"))


def at_the_end_of_an_epoch(lab: Lab) -> Hook:
    return partial(at_point, "trainer.latest.saved", 2, partial(fill, lab.folder / "metrics.jsonl"))


def at_the_result(lab: Lab) -> Hook:
    return partial(at_point, "trainer.result.before", 1, partial(limit_files, SMALL))


def at_once(lab: Lab) -> Hook:
    return partial(limit_files, SMALL)


@pytest.mark.parametrize(
    ("when", "file"),
    [
        (at_once, "config.yaml"),
        (in_mid_epoch, "train.log"),
        (at_the_end_of_an_epoch, "metrics.jsonl"),
        (at_the_result, "result.json"),
    ],
)
def test_a_full_disk_at_a_small_file(
    when: Callable[[Lab], Hook], file: str, lab: Lab, whole: Lab
) -> None:
    code, lines = lab.fork(when(lab))
    assert code == FULL
    assert (
        lines[-1]
        == f"cannot use {lab.folder / file}: File too large; free space or grant access, then retry"
    )
    assert_ends_as(whole, lab)


def test_a_full_disk_at_a_checkpoint(lab: Lab, whole: Lab) -> None:
    """Write to a file that cannot grow, then to a full device; the best may precede the latest."""
    code, lines = lab.fork(
        partial(at_point, "trainer.epoch.reported", 1, partial(limit_files, HALF))
    )
    assert code == FULL
    assert re.match(REFUSED.format("File too large"), lines[-1])
    assert lab.checkpoint()["progress"]["epoch"] == 1
    good, temporary = (
        lab.latest.read_bytes(),
        [path.with_name(f".{path.name}.tmp") for path in (lab.latest, lab.best)],
    )
    for path in temporary:
        path.symlink_to("/dev/full")
    code, lines = lab.fork()
    assert code == FULL
    assert re.match(REFUSED.format("No space left on device"), lines[-1])
    assert lab.latest.read_bytes() == good
    for path in temporary:
        path.unlink(missing_ok=True)
    assert_ends_as(whole, lab)


def test_a_kill_while_writing_a_checkpoint(lab: Lab, whole: Lab) -> None:
    deadly = partial(limit_files, HALF, deadly=True)
    assert lab.fork(partial(at_point, "trainer.epoch.reported", 1, deadly))[0] == -signal.SIGXFSZ
    assert [file.stat().st_size for file in lab.latest.parent.glob(".*.tmp")] == [HALF]
    assert_ends_as(whole, lab)
