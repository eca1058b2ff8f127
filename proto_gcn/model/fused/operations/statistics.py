"""Mean and variance of a batch whose last row may count several times, and the running ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor, nn

from proto_gcn.model.fused.operations import all_reduce

Norm = nn.BatchNorm1d | nn.BatchNorm2d
_frozen = ContextVar("_frozen", default=False)


class Statistics(NamedTuple):
    """Mean and biased variance [C] over `values` values per channel."""

    mean: Tensor
    variance: Tensor
    values: int


@contextmanager
def frozen_statistics() -> Iterator[None]:
    """Keep the running statistics in here: a recomputed forward pass must not move them again."""
    token = _frozen.set(True)
    try:
        yield
    finally:
        _frozen.reset(token)


@torch.no_grad()
def batch_statistics(
    norms: Sequence[Norm], x: Tensor, copies: int, shift: Tensor | None
) -> Statistics:
    """Return those of x [R, C, ...] with copies - 1 more of its last row, in all processes.

    Moves the running statistics of the norms.
    """
    statistics = over_processes(weighted_statistics(x, copies))
    if not _frozen.get():
        _update_running(norms, statistics, shift)
    return statistics


def weighted_statistics(x: Tensor, copies: int) -> Statistics:
    """Return those of x [R, C, ...] with copies - 1 more of its last row."""
    mean, variance = _unweighted_statistics(x)
    count = x.numel() // x.shape[1]
    if copies == 1:
        return Statistics(mean, variance, count)
    more = (copies - 1) * (count // len(x))
    row_mean, row_variance = _unweighted_statistics(x[-1:])
    total, apart = count + more, row_mean - mean
    merged = (
        variance * (count / total)
        + row_variance * (more / total)
        + apart**2 * (count * more / total**2)
    )
    return Statistics(mean + apart * (more / total), merged, total)


def over_processes(own: Statistics) -> Statistics:
    """Return those of all processes together.

    Their shares of the batch have equal sizes, because the loader pads the last one.
    """
    if all_reduce.count() == 1:
        return own
    means, variances = all_reduce.gathered(torch.stack([own.mean, own.variance])).unbind(1)
    variance = variances.mean(0) + means.var(0, correction=0)
    return Statistics(means.mean(0), variance, own.values * all_reduce.count())


def _unweighted_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Use the kernel of native batch norm, which is several times as fast as var_mean.

    Statistics of half floats are float32.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    if torch.compiler.is_compiling():  # it cannot trace that kernel, and makes as good a one
        axes = [axis for axis in range(x.dim()) if axis != 1]
        variance, mean = torch.var_mean(x.to(wide), axes, correction=0)
        return mean, variance
    # A running statistic to write to; its type decides the result's.
    unused = x.new_zeros(x.shape[1], dtype=wide)
    mean, variance = torch.batch_norm_update_stats(x, unused, unused.clone(), 0.0)
    return mean, variance


def _update_running(norms: Sequence[Norm], statistics: Statistics, shift: Tensor | None) -> None:
    mean = statistics.mean if shift is None else statistics.mean + shift
    unbiased = statistics.variance * (statistics.values / max(statistics.values - 1, 1))
    sizes = [norm.num_features for norm in norms]
    shares = zip(norms, mean.split(sizes), unbiased.split(sizes), strict=True)
    for norm, new_mean, new_variance in shares:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(new_mean.to(norm.running_mean), norm.momentum or 0.0)
        norm.running_var.lerp_(new_variance.to(norm.running_var), norm.momentum or 0.0)
