"""Random draws: the two generators of the published pipeline, and the frames that are drawn with them."""

import random
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.int64]


@dataclass(frozen=True)
class Draws:
    """The generators that the published pipeline draws from; every transform gets them, none reads a global one."""

    numpy: np.random.RandomState = field(default_factory=np.random.RandomState)
    python: random.Random = field(default_factory=random.Random)

    def reseed(self, *entropy: int) -> "Draws":
        """Both depend on all the numbers given, and on nothing drawn before."""
        words = np.random.SeedSequence(entropy).generate_state(2)
        self.numpy.seed(words[0])  # a new RandomState would take fifty times as long
        self.python.seed(int(words[1]))
        return self


def uniform_frames(
    total: int, length: int, clips: int, generator: np.random.RandomState, even_starts: bool = False
) -> Frames:
    """Frame numbers [clips * length]: each clip has one frame from each of `length` equal parts of the sequence.

    A shorter sequence is read in a circle from a drawn start; with even_starts clip i starts at i * total // clips.
    """
    chosen = []
    for clip in range(clips):
        generator.rand()  # the published sampler draws a crop ratio here and then uses 1
        if total >= length or not even_starts:
            chosen.append(_clip_frames(total, length, generator))
        else:
            chosen.append((clip if total < clips else clip * total // clips) + np.arange(length))
    return np.concatenate(chosen) % total


def _clip_frames(total: int, length: int, generator: np.random.RandomState) -> Frames:
    steps = np.arange(length)
    if total < length:
        return generator.randint(0, total) + steps
    if total < 2 * length:
        skipped = np.zeros(length + 1, dtype=np.int64)
        skipped[generator.choice(length + 1, total - length, replace=False)] = 1
        return steps + np.cumsum(skipped)[:-1]
    bounds = np.arange(length + 1) * total // length
    return bounds[:-1] + generator.randint(np.diff(bounds))


@lru_cache(maxsize=4096)
def seeded_frames(total: int, length: int, clips: int, seed: int, even_starts: bool) -> Frames:
    """What a test draws: the same for all sequences of one length, because each starts from the seed again."""
    frames = uniform_frames(total, length, clips, np.random.RandomState(seed), even_starts)
    frames.flags.writeable = False
    return frames
