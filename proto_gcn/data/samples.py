"""What a split holds, in a form that worker processes share, after the once-only part of its pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proto_gcn.config.train import TrainConfig
from proto_gcn.data.arrays import Array
from proto_gcn.data.files.annotations import (
    DataFile,
    Raw,
    checked_label,
    confident,
    image_width,
    keypoints,
    wrong,
)
from proto_gcn.data.files.in_files import InFiles
from proto_gcn.data.packed import PackedArrays
from proto_gcn.data.pipeline import Pipeline, make_pipeline
from proto_gcn.errors import DataError


@dataclass(frozen=True)
class Samples:
    """Names, labels (-1: none), image widths (0: 3-D), and the keypoints as Pipeline.stored left them."""

    names: list[str]
    labels: NDArray[np.int64]
    widths: NDArray[np.int64]
    keypoints: Sequence[Array]

    def __len__(self) -> int:
        return len(self.names)


def make_samples(
    file: DataFile, split: str | None, config: TrainConfig, training: bool, labelled: bool
) -> Samples:
    """The samples of a split (None: of the whole file), without labels where none are wanted; raises DataError."""
    pipeline, data = make_pipeline(config, None), config.data
    raws = file.split(split)
    try:
        if training and data.valid_ratio:
            raws = [
                kept
                for raw in raws
                if (kept := confident(raw, data.box_thr, data.valid_ratio)) is not None
            ]
            if not raws:
                raise DataError(
                    f"no sample of the split {split} passes data.valid_ratio {data.valid_ratio:g}"
                )
        labels = [
            checked_label(raw, config.model.cls_head.num_classes) if labelled else -1
            for raw in raws
        ]
        widths = [image_width(raw) if pipeline.skeleton.dimensions == 2 else 0 for raw in raws]
        arrays = _arrays(raws, file.path.parent, pipeline)
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from error
    return Samples([raw["frame_dir"] for raw in raws], np.array(labels), np.array(widths), arrays)


def _arrays(raws: list[Raw], folder: Path, pipeline: Pipeline) -> Sequence[Array]:
    stored = partial(_stored, pipeline)
    if not any("raw_file" in raw for raw in raws):
        return PackedArrays(map(stored, raws))
    if pipeline.data.kpfiles is None:
        raise DataError(
            "its keypoints lie in files of their own; set data.kpfiles to their folder's name"
        )
    return InFiles(raws, folder / pipeline.data.kpfiles, pipeline.skeleton.stored, stored)


def _stored(pipeline: Pipeline, raw: Raw) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # refused with a sentence of their own
        found = pipeline.stored(keypoints(raw, pipeline.skeleton))
    if not np.isfinite(found).all():
        raise wrong(
            raw, f": keypoint holds a number that is not finite, or too large for {found.dtype}"
        )
    return found
