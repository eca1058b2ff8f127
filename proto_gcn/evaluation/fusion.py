"""This module fuses several networks: the weighted sum of their scores.

The weights are those of the published code (github.com/firework8/ProtoGCN), given or fitted.
"""

import zlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from proto_gcn.errors import DataError
from proto_gcn.evaluation.score_file import About, ScoreFile

#: Streams and the published weight of each.
PUBLISHED = {
    ("j", "b"): (1, 1),
    ("j", "b", "jm", "bm"): (2, 2, 1, 1),
    ("j", "b", "k", "jm", "bm", "km"): (2, 2, 2, 1, 1, 1),
}
EM_STEPS = 1000


def published_weights(streams: Sequence[str]) -> list[float]:
    """Return a weight for each stream; raises DataError if their combination was not published."""
    for known, weights in PUBLISHED.items():
        if sorted(known) == sorted(streams):
            by_stream = dict(zip(known, weights, strict=True))
            return [float(by_stream[stream]) for stream in streams]
    sets = "; ".join(" ".join(known) for known in PUBLISHED)
    raise DataError(
        f"there are no published weights for {' '.join(streams)}, only for {sets};"
        " set --weights to numbers"
    )


def aligned(files: Sequence[ScoreFile]) -> list[ScoreFile]:
    """Return the files with the samples in the order of the first.

    Raises DataError if their samples, labels or classes differ.
    """
    first = files[0]
    if twice := [name for name, times in Counter(first.names).items() if times > 1]:
        raise DataError(
            f"{_origin(first.about)} scores {twice[0]} twice;"
            " give each sample of the data file its own name"
        )
    return [first, *(_like(first, other) for other in files[1:])]


def _like(first: ScoreFile, other: ScoreFile) -> ScoreFile:
    index_of = {name: index for index, name in enumerate(other.names)}
    if index_of.keys() != set(first.names) or len(other.names) != len(first.names):
        common = len(index_of.keys() & set(first.names))
        raise DataError(
            f"{_origin(other.about)} and {_origin(first.about)} score different samples"
            f" ({common} in common); evaluate all networks on the same split"
        )
    ordered = other.chosen([index_of[name] for name in first.names])
    if ordered.scores.shape != first.scores.shape or not torch.equal(ordered.labels, first.labels):
        raise DataError(
            f"{_origin(other.about)} has other classes or labels than {_origin(first.about)};"
            " evaluate all networks on the same data file"
        )
    return ordered


def _origin(about: About) -> str:
    return f"the stream {about.modality} ({about.checkpoint}, split {about.split})"


def fused(files: Sequence[ScoreFile], weights: Sequence[float]) -> Tensor:
    """Return the weighted mean [N, L] of aligned scores."""
    share = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    return torch.einsum("s,snl->nl", share, torch.stack([file.scores.double() for file in files]))


def fitted_weights(files: Sequence[ScoreFile]) -> list[float]:
    """Return the weights with sum 1 that maximise the likelihood of the labels of aligned files.

    The likelihood is concave in the weights of a mixture, so expectation maximisation finds its
    maximum without a step size.
    """
    own = torch.stack(
        [file.scores.double().gather(1, file.labels[:, None]).squeeze(1) for file in files]
    )  # [S, N]
    own = own.clamp(min=1e-12)
    weights = own.new_full((len(own),), 1 / len(own))
    for _ in range(EM_STEPS):
        responsibility = weights[:, None] * own
        weights = (responsibility / responsibility.sum(dim=0)).mean(dim=1)
    return [float(weight) for weight in weights]


def check_apart(fit: ScoreFile, report: ScoreFile) -> None:
    """Raise DataError if weights would be evaluated on samples that they were fitted to."""
    common = len(set(fit.names) & set(report.names))
    if common:
        raise DataError(
            f"{common} of the {len(report.names)} samples to report are also used to fit weights;"
            " use score files of another split for --fit-on, or fit on a part with --fit-share"
        )


def halves(file: ScoreFile, share: float) -> tuple[ScoreFile, ScoreFile]:
    """Split a file into samples to fit on and samples to report.

    The name of a sample alone decides, so that every file and every run agrees.
    """
    fit = [zlib.crc32(name.encode()) / 2**32 < share for name in file.names]
    sides = [[i for i, on_fit in enumerate(fit) if on_fit is wanted] for wanted in (True, False)]
    if not all(sides):
        raise DataError(
            f"a share of {share:g} of {len(file.names)} samples leaves one part empty;"
            " choose another --fit-share"
        )
    return file.chosen(sides[0]), file.chosen(sides[1])
