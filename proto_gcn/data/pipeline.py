"""This module turns a stored sample into clips, as the published pipelines do.

Every transform but the motion of 3-D data uses one frame at a time. So frames are sampled first and
only those are processed. The numbers equal those of the published order (whole sequence, then
frames), for less work.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proto_gcn.config.train import DataConfig, TrainConfig
from proto_gcn.data import transforms
from proto_gcn.data.arrays import Array
from proto_gcn.data.frame_sampling import Frames, Generators, seeded_frames, uniform_frames
from proto_gcn.skeleton import Skeleton


@dataclass(frozen=True)
class Pipeline(ABC):
    """Turns a stored sample into clips of one stream.

    `clips` is None in training, which makes one random, augmented clip.
    """

    data: DataConfig
    stream: str
    clips: int | None
    skeleton: Skeleton

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape [n, M, T, V, C] of the array that `fill` fills."""
        return self.clips or 1, self.data.num_person, self.data.clip_len, self.skeleton.joints, 3

    @property
    def is_motion(self) -> bool:
        return self.stream.endswith("m")

    @abstractmethod
    def stored(self, keypoint: Array) -> Array:
        """Return the part of a sample to keep; everything that is not random is done here, once."""

    @abstractmethod
    def fill(
        self, out: NDArray[np.float32], stored: Array, width: int, generators: Generators
    ) -> None:
        """Write the clips of a stored sample into zeros; `width` is the image's, in pixels."""

    def frames(self, total: int, generators: Generators, even_starts: bool) -> Frames:
        length = self.data.clip_len
        if self.clips is None:
            return uniform_frames(total, length, 1, generators.numpy)
        return seeded_frames(total, length, self.clips, self.data.test_seed, even_starts)


class Pipeline3D(Pipeline):
    """Normalises and aligns once; then rotates, flips, drops a part and computes the stream.

    The random numbers are drawn in this order, those of the frames after the rotation's.
    """

    def stored(self, keypoint: Array) -> Array:
        given = keypoint.astype(np.float32) if self.data.float32 else keypoint
        normal = transforms.normalise(given, self.skeleton.origin)
        # An empty sample is returned as it is, and is not aligned either.
        if self.data.align_spine and normal is not given:
            normal = transforms.align(normal)
        return normal[: self.data.num_person]

    def fill(
        self, out: NDArray[np.float32], stored: Array, width: int, generators: Generators
    ) -> None:
        rotation = None
        if self.clips is None and self.data.rotate:
            rotation = transforms.draw_rotation(stored, self.data.rotate, generators)
        picked = self._picked(stored, generators)
        if rotation is not None:
            picked = transforms.rotate(picked, rotation)
        if self.clips is None:
            picked = self._augmented(picked, generators)
        picked = transforms.bones(picked, self.stream, self.skeleton)
        if self.is_motion:
            now, following = np.split(picked, 2, axis=1)
            picked = following - now
        transforms.to_clips(picked, out)

    def _picked(self, stored: Array, generators: Generators) -> Array:
        """Return the sampled frames; for motion, the frames that follow them too."""
        total = stored.shape[1]
        frames = self.frames(total, generators, even_starts=False)
        if self.is_motion:
            frames = np.concatenate([frames, np.minimum(frames + 1, total - 1)])
        return stored.take(frames, axis=1)

    def _augmented(self, keypoint: Array, generators: Generators) -> Array:
        data = self.data
        if data.flip:
            keypoint = transforms.flip(
                keypoint, data.flip, generators, data.mirror_flip, self.skeleton
            )
        if data.part_drop:
            keypoint = transforms.drop_part(keypoint, data.part_drop, generators)
        return keypoint


class Pipeline2D(Pipeline):
    """Samples frames, flips, adds the joints of the trunk and computes the stream.

    The keypoints are [M, T, V, 3] with the scores. Only COCO's layout has joints to add.
    """

    def stored(self, keypoint: Array) -> Array:
        return keypoint[: self.data.num_person]

    def fill(
        self, out: NDArray[np.float32], stored: Array, width: int, generators: Generators
    ) -> None:
        data, skeleton = self.data, self.skeleton
        frames = self.frames(stored.shape[1], generators, even_starts=True)
        picked = stored.take(frames, axis=1).astype(np.float32)
        if self.clips is None and data.flip:
            picked = transforms.flip_image(picked, width, data.flip, generators, skeleton)
        if skeleton.added:
            picked = transforms.add_trunk(picked)
        picked = transforms.bones(picked, self.stream, skeleton, data.mean_scores)
        if self.is_motion:  # between the sampled frames, as in the published code
            picked = transforms.motion(picked, data.mean_scores)
        transforms.to_clips(picked, out)


def make_pipeline(config: TrainConfig, clips: int | None) -> Pipeline:
    """Return the pipeline for the config's layout and stream."""
    skeleton = config.model.backbone.graph_cfg.skeleton
    kind = Pipeline2D if skeleton.dimensions == 2 else Pipeline3D
    return kind(config.data, config.modality, clips, skeleton)
