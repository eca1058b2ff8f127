"""The published pipelines: what is done once to a stored sample, and what each time that it is asked for.

Every transform but the motion of 3-D data looks at one frame at a time. So frames are drawn first and only those are
worked on, which gives the same numbers as the published order (whole sequence, then frames) for less work.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proto_gcn.config.train import DataConfig, TrainConfig
from proto_gcn.data import transforms
from proto_gcn.data.arrays import Array
from proto_gcn.data.draws import Draws, Frames, seeded_frames, uniform_frames
from proto_gcn.skeleton import Skeleton


@dataclass(frozen=True)
class Pipeline(ABC):
    """(stored sample, draws) -> clips of one stream; `clips` None means training: one clip, drawn and augmented."""

    data: DataConfig
    stream: str
    clips: int | None
    skeleton: Skeleton

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, M, T, V, C] of what `fill` fills."""
        return self.clips or 1, self.data.num_person, self.data.clip_len, self.skeleton.joints, 3

    @abstractmethod
    def stored(self, keypoint: Array) -> Array:
        """What is kept of a sample of the file: all that needs no draw is done, and is not done again."""

    @abstractmethod
    def fill(self, out: NDArray[np.float32], stored: Array, width: int, draws: Draws) -> None:
        """The clips of a stored sample into zeros; `width` is the image's, in pixels."""

    def frames(self, total: int, draws: Draws, even_starts: bool) -> Frames:
        if self.clips is None:
            return uniform_frames(total, self.data.clip_len, 1, draws.numpy)
        return seeded_frames(
            total, self.data.clip_len, self.clips, self.data.test_seed, even_starts
        )


class SolidPipeline(Pipeline):
    """3-D: normalise, align; then rotate, flip, drop a part, stream, frames, whose draws come in this order."""

    def stored(self, keypoint: Array) -> Array:
        given = keypoint.astype(np.float32) if self.data.float32 else keypoint
        normal = transforms.normalise(given, self.skeleton.origin)
        if self.data.align_spine and normal is not given:  # else left alone in both ways
            normal = transforms.align(normal)
        return normal[: self.data.num_person]

    def fill(self, out: NDArray[np.float32], stored: Array, width: int, draws: Draws) -> None:
        rotation = None
        if self.clips is None and self.data.rotate:
            rotation = transforms.draw_rotation(stored, self.data.rotate, draws)
        frames = self.frames(stored.shape[1], draws, even_starts=False)
        if self.stream.endswith("m"):
            frames = np.concatenate(
                [frames, np.minimum(frames + 1, stored.shape[1] - 1)]
            )  # motion: and the next ones
        picked = stored.take(frames, axis=1)
        if rotation is not None:
            picked = transforms.rotate(picked, rotation)
        if self.clips is None:
            picked = self._augmented(picked, draws)
        picked = transforms.bones(picked, self.stream, self.skeleton)
        if self.stream.endswith("m"):
            now, following = np.split(picked, 2, axis=1)
            picked = following - now
        transforms.to_clips(picked, out)

    def _augmented(self, keypoint: Array, draws: Draws) -> Array:
        if self.data.flip:
            keypoint = transforms.flip(
                keypoint, self.data.flip, draws, self.data.mirror_flip, self.skeleton
            )
        if self.data.part_drop:
            keypoint = transforms.drop_part(keypoint, self.data.part_drop, draws)
        return keypoint


class FlatPipeline(Pipeline):
    """2-D, [M, T, V, 3] with the scores: frames, flip, add the trunk's joints where the layout has them, stream."""

    def stored(self, keypoint: Array) -> Array:
        return keypoint[: self.data.num_person]

    def fill(self, out: NDArray[np.float32], stored: Array, width: int, draws: Draws) -> None:
        frames = self.frames(stored.shape[1], draws, even_starts=True)
        picked = stored.take(frames, axis=1).astype(np.float32)
        if self.clips is None and self.data.flip:
            picked = transforms.flip_image(picked, width, self.data.flip, draws, self.skeleton)
        if self.skeleton.added:
            picked = transforms.add_trunk(picked)
        picked = transforms.bones(picked, self.stream, self.skeleton, self.data.mean_scores)
        if self.stream.endswith("m"):
            picked = transforms.motion(
                picked, self.data.mean_scores
            )  # of the chosen frames, as published
        transforms.to_clips(picked, out)


def make_pipeline(config: TrainConfig, clips: int | None) -> Pipeline:
    """The pipeline of the config's layout and stream."""
    skeleton = config.model.backbone.graph_cfg.skeleton
    kind = FlatPipeline if skeleton.dimensions == 2 else SolidPipeline
    return kind(config.data, config.modality, clips, skeleton)
