"""Which person slots are computed: absent persons are alike, so one row stands for all of them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """The rows [R, ...] that the trunk computes for the slots [N, M] of a batch.

    `row` [N, M] is the row of every slot. The last row counts `copies` times: it is the all-zero
    input of that many absent persons. They stay equal through the whole trunk, which never mixes
    persons, so that one of them with its weight in every batch statistic is exact.
    """

    row: Tensor
    copies: int = 1

    def per_slot(self, values: Tensor) -> Tensor:
        """Map [R, ...] to [N, M, ...]."""
        return values[self.row]

    def mean_over_persons(self, values: Tensor) -> Tensor:
        """Map [R, ...] to [N, ...] as one product, which never holds [N, M, ...]."""
        samples, persons = self.row.shape
        share = values.new_zeros(samples, len(values))
        share.scatter_add_(1, self.row, share.new_full(self.row.shape, 1 / persons))
        return (share @ values.flatten(1)).unflatten(1, values.shape[1:])


def every_slot(clips: Tensor) -> tuple[Tensor, Rows]:
    """Return clips [N, M, T, V, C] as rows [N*M, T, V, C], each computed for itself."""
    samples, persons = clips.shape[:2]
    row = torch.arange(samples * persons, device=clips.device).view(samples, persons)
    return clips.flatten(0, 1), Rows(row)


def merge_absent(clips: Tensor) -> tuple[Tensor, Rows]:
    """Return clips [N, M, T, V, C] as rows [R, T, V, C].

    The rows are the present persons, then one for all that are absent.
    """
    present = clips.ne(0).flatten(2).any(dim=2)
    kept = present.flatten().nonzero().squeeze(1)
    copies = present.numel() - len(kept)
    if copies < 2:
        return every_slot(clips)
    first_absent = present.flatten().logical_not().int().argmax()
    row = (present.flatten().cumsum(0) - 1).where(present.flatten(), len(kept)).view_as(present)
    return clips.flatten(0, 1)[torch.cat([kept, first_absent.view(1)])], Rows(row, copies)
