"""The processes that train one network together: torchrun's, or those that train.py starts for several GPUs.

Each has its share of every batch. The first writes; what it decides or fails at, all do.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from proto_gcn.errors import ConfigError, TrainerError

T = TypeVar("T")
_LOST = ("gloo", "Connection closed", "Connection reset", "Broken pipe", "NCCL")


@dataclass(frozen=True)
class Group:
    """`rank` of `size` processes, `local_rank` of `local_size` on this machine; alone by default."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Group":
        """As torchrun sets it; raises ConfigError."""
        names = "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"
        if "WORLD_SIZE" not in environment:
            return cls()
        try:
            return cls(*(int(environment[name]) for name in names))
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"{', '.join(names)} must be numbers, as torchrun sets them ({error})"
            ) from error

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def join(self) -> None:
        """Meets the others, where there are any; small messages travel by gloo, so that no GPU is touched for them."""
        if self.size > 1:
            distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            )

    def leave(self) -> None:
        """To be called however a process ends: gloo's threads abort one that just exits."""
        if self.size > 1 and distributed.is_initialized():
            with suppress(RuntimeError):  # the others may be gone already
                distributed.destroy_process_group()

    def first(self, work: Callable[[], T]) -> T:
        """What `work` returns in the first process; raises in all what is expected and raised there."""
        if self.size == 1:
            return work()
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome[0] = work()
            except TrainerError as error:
                outcome[1] = error
        distributed.broadcast_object_list(outcome, device=torch.device("cpu"))
        if outcome[1] is not None:
            outcome[1].shared = True
            raise outcome[1]
        return outcome[0]

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        return bool(self._total(torch.tensor(float(flag)))) if self.size > 1 else flag

    def mean(self, value: float) -> float:
        """Over the processes, each with an equal share."""
        return (
            float(self._total(torch.tensor(value, dtype=torch.float64))) / self.size
            if self.size > 1
            else value
        )

    def each(self, value: T) -> list[T]:
        """Every process's value, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def interleaved(self, mine: Tensor, size: int) -> Tensor:
        """Rows [n, ...] of every process, which has every size-th row -> rows [size, ...], what filled up cut off."""
        return torch.stack(self.each(mine), dim=1).flatten(0, 1)[:size]

    def _total(self, value: Tensor) -> Tensor:
        distributed.all_reduce(value)
        return value


def is_lost(error: Exception) -> bool:
    """Whether another process has ended in the middle, which said why itself."""
    named = isinstance(error, distributed.DistError) or any(part in str(error) for part in _LOST)
    return distributed.is_initialized() and isinstance(error, RuntimeError) and named
