"""The scores of one network on one split, as an .npz file that numpy reads without pickle."""

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
    """Where scores come from; split None is a whole file."""

    modality: str
    split: str | None
    clips: int
    checkpoint: str
    data: str


@dataclass(frozen=True)
class ScoreFile:
    """scores [N, L] (mean class probabilities over the clips), labels [N] (-1: none) and names [N] of the samples."""

    scores: Tensor
    labels: Tensor
    names: list[str]
    about: About

    @property
    def is_labelled(self) -> bool:
        return bool((self.labels >= 0).all())

    def chosen(self, indices: list[int]) -> "ScoreFile":
        """These samples in this order."""
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
    """Of a run's own validation split."""
    about = About(
        config.modality, config.data.val_split, clips, str(checkpoint), config.data.ann_file
    )
    return ScoreFile(scores, labels, names, about)


def write(path: Path, file: ScoreFile) -> None:
    """Atomic; raises OSError."""
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


def read(path: Path) -> ScoreFile:
    """Raises DataError for what is no such file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            scores, labels = torch.from_numpy(stored["scores"]), torch.from_numpy(stored["labels"])
            names, about = (
                [str(name) for name in stored["names"]],
                About(**json.loads(str(stored["about"]))),
            )
    except OSError as error:
        reason = error.strerror or "it is no score file"
        raise DataError(
            f"cannot read {path}: {reason}; name a file of `python -m proto_gcn evaluate --scores`"
        ) from error
    except (
        Exception
    ) as error:  # zip, JSON, a missing or unknown entry: all mean the same to the reader
        raise DataError(
            f"{path} is no score file; make one with `python -m proto_gcn evaluate --scores`"
        ) from error
    file = ScoreFile(scores, labels, names, about)
    if wrong := _wrong(file):
        raise DataError(
            f"{path} is damaged: {wrong}; make it anew with `python -m proto_gcn evaluate --scores`"
        )
    return replace(file, labels=labels.long())


def _wrong(file: ScoreFile) -> str | None:
    """What is not as `write` would have it."""
    scores, labels, names = file.scores, file.labels, file.names
    if scores.ndim != 2 or labels.ndim != 1 or not len(scores) == len(labels) == len(names) > 0:
        return f"it has scores {[*scores.shape]}, labels {[*labels.shape]} and {len(names)} names"
    if not scores.is_floating_point() or not scores.isfinite().all():
        return "its scores are not all numbers"
    if (
        labels.is_floating_point()
        or labels.is_complex()
        or not ((labels >= -1) & (labels < scores.shape[1])).all()
    ):
        return f"its labels are not all whole numbers from -1 to {scores.shape[1] - 1}"
    if not isinstance(file.about.clips, int) or not isinstance(file.about.modality, str):
        return "it does not say which stream and how many clips it is of"
    return None
