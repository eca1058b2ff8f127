"""This module stores the scores of one network on one split in an .npz file without pickle."""

import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from proto_gcn.atomic_file import write_atomically
from proto_gcn.config.train import TrainConfig
from proto_gcn.errors import DataError


@dataclass(frozen=True)
class About:
    """This names the source of scores; the split None is a whole data file."""

    modality: str
    split: str | None
    clips: int
    checkpoint: str
    data: str


@dataclass(frozen=True)
class ScoreFile:
    """The scores of N samples in L classes.

    scores [N, L] are mean class probabilities over the clips; labels [N] are -1 if unknown.
    """

    scores: Tensor
    labels: Tensor
    names: list[str]
    about: About

    @property
    def is_labelled(self) -> bool:
        return bool((self.labels >= 0).all())

    def chosen(self, indices: list[int]) -> "ScoreFile":
        """Return these samples in this order."""
        return ScoreFile(
            self.scores[indices], self.labels[indices], [self.names[i] for i in indices], self.about
        )


def of_validation(
    config: TrainConfig,
    checkpoint: Path,
    clips: int,
    scores: Tensor,
    labels: Tensor,
    names: list[str],
) -> ScoreFile:
    """Return the scores of a run on its own validation split."""
    about = About(
        config.modality, config.data.val_split, clips, str(checkpoint), config.data.ann_file
    )
    return ScoreFile(scores, labels, names, about)


def write(path: Path, file: ScoreFile) -> None:
    """Write the file atomically; raises OSError."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        scores=file.scores.numpy().astype(np.float32),
        labels=file.labels.numpy(),
        names=np.array(file.names, dtype=np.str_),
        about=np.array(json.dumps(asdict(file.about))),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


REMAKE = "`python -m proto_gcn evaluate --scores`"


def read(path: Path) -> ScoreFile:
    """Read a score file; raises DataError if it is not one."""
    try:
        file = _load(path)
    except OSError as error:
        reason = error.strerror or "it is not a score file"
        raise DataError(f"cannot read {path}: {reason}; name a file made with {REMAKE}") from error
    except Exception as error:  # zip, JSON, a missing or unknown entry: all mean the same
        raise DataError(f"{path} is not a score file; make one with {REMAKE}") from error
    if wrong := _wrong(file):
        raise DataError(f"{path} is damaged: {wrong}; make it again with {REMAKE}")
    return replace(file, labels=file.labels.long())


def _load(path: Path) -> ScoreFile:
    with np.load(path, allow_pickle=False) as stored:
        return ScoreFile(
            torch.from_numpy(stored["scores"]),
            torch.from_numpy(stored["labels"]),
            [str(name) for name in stored["names"]],
            About(**json.loads(str(stored["about"]))),
        )


def _wrong(file: ScoreFile) -> str | None:
    """Return what differs from a file that `write` makes, or None."""
    scores, labels, names = file.scores, file.labels, file.names
    if scores.ndim != 2 or labels.ndim != 1 or not len(scores) == len(labels) == len(names) > 0:
        return f"it has scores {[*scores.shape]}, labels {[*labels.shape]} and {len(names)} names"
    if not scores.is_floating_point() or not scores.isfinite().all():
        return "not all of its scores are finite numbers"
    if not _are_labels(labels, scores.shape[1]):
        return f"its labels are not all whole numbers from -1 to {scores.shape[1] - 1}"
    if not isinstance(file.about.clips, int) or not isinstance(file.about.modality, str):
        return "its stream and number of clips are missing"
    return None


def _are_labels(labels: Tensor, classes: int) -> bool:
    if labels.is_floating_point() or labels.is_complex():
        return False
    return bool(((labels >= -1) & (labels < classes)).all())
