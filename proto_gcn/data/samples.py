"""This module holds the samples of a split, in a form that worker processes share.

The part of the pipeline that is not random has been applied to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proto_gcn.config.train import DataConfig, TrainConfig
from proto_gcn.data.arrays import Array
from proto_gcn.data.files.annotations import (
    DataFile,
    Raw,
    checked_label,
    confident,
    image_width,
    keypoints,
    sample_error,
)
from proto_gcn.data.files.keypoint_files import KeypointFiles
from proto_gcn.data.packed import PackedArrays
from proto_gcn.data.pipeline import Pipeline, make_pipeline
from proto_gcn.errors import DataError


@dataclass(frozen=True)
class Samples:
    """Names, labels (-1: unknown), image widths (0: 3-D data) and the stored keypoints."""

    names: list[str]
    labels: NDArray[np.int64]
    widths: NDArray[np.int64]
    keypoints: Sequence[Array]

    def __len__(self) -> int:
        return len(self.names)


def make_samples(
    file: DataFile, split: str | None, config: TrainConfig, training: bool, labelled: bool
) -> Samples:
    """Load the samples of a split, or of the whole file for None; raises DataError.

    Without `labelled` the labels are not read.
    """
    raws = file.split(split)
    classes = config.model.cls_head.num_classes
    try:
        if training and config.data.valid_ratio:
            raws = _confident(raws, split, config.data)
        labels = [checked_label(raw, classes) if labelled else -1 for raw in raws]
        return _checked(raws, labels, file.path.parent, make_pipeline(config, None))
    except DataError as error:
        raise DataError(f"{file.path}: {error}") from error


def _confident(raws: list[Raw], split: str | None, data: DataConfig) -> list[Raw]:
    """Keep the samples that have enough frames with a confident detection."""
    candidates = [confident(raw, data.box_thr, data.valid_ratio) for raw in raws]
    kept = [raw for raw in candidates if raw is not None]
    if not kept:
        raise DataError(
            f"no sample of the split {split} passes data.valid_ratio {data.valid_ratio:g}; lower it"
        )
    return kept


def _checked(raws: list[Raw], labels: list[int], folder: Path, pipeline: Pipeline) -> Samples:
    is_2d = pipeline.skeleton.dimensions == 2
    widths = [image_width(raw) if is_2d else 0 for raw in raws]
    names = [raw["frame_dir"] for raw in raws]
    return Samples(names, np.array(labels), np.array(widths), _arrays(raws, folder, pipeline))


def _arrays(raws: list[Raw], folder: Path, pipeline: Pipeline) -> Sequence[Array]:
    stored = partial(_stored, pipeline)
    if not any("raw_file" in raw for raw in raws):
        return PackedArrays(map(stored, raws))
    if pipeline.data.kpfiles is None:
        raise DataError(
            "the keypoints are in separate files; set data.kpfiles to the name of their folder"
        )
    return KeypointFiles(raws, folder / pipeline.data.kpfiles, pipeline.skeleton.stored, stored)


def _stored(pipeline: Pipeline, raw: Raw) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # the check below reports them
        found = pipeline.stored(keypoints(raw, pipeline.skeleton))
    if not np.isfinite(found).all():
        raise sample_error(
            raw, f": keypoint has a value that is not finite, or is too large for {found.dtype}"
        )
    return found
