"""This module samples frames from a sequence, with the random generators of the published code."""

import random
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.int64]


@dataclass(frozen=True)
class Generators:
    """The two random generators of the published code; no transform uses a global one."""

    numpy: np.random.RandomState = field(default_factory=np.random.RandomState)
    python: random.Random = field(default_factory=random.Random)

    def reseed(self, *entropy: int) -> "Generators":
        """Seed both from all the numbers given; earlier draws have no influence."""
        words = np.random.SeedSequence(entropy).generate_state(2)
        self.numpy.seed(words[0])  # a new RandomState would take fifty times as long
        self.python.seed(int(words[1]))
        return self


def uniform_frames(
    total: int, length: int, clips: int, generator: np.random.RandomState, even_starts: bool = False
) -> Frames:
    """Return frame numbers [clips * length].

    Each clip has one frame from each of `length` equal parts of the sequence. A shorter sequence is
    repeated from a random start; with even_starts clip i starts at i * total // clips.
    """
    sampled = []
    for clip in range(clips):
        generator.rand()  # the published code draws a crop ratio here and does not use it
        if total >= length or not even_starts:
            sampled.append(_clip_frames(total, length, generator))
        else:
            sampled.append((clip if total < clips else clip * total // clips) + np.arange(length))
    return np.concatenate(sampled) % total


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
    """Return the frames for an evaluation: each sequence starts again from the seed.

    Therefore they are the same for all sequences of one length.
    """
    frames = uniform_frames(total, length, clips, np.random.RandomState(seed), even_starts)
    frames.flags.writeable = False
    return frames
