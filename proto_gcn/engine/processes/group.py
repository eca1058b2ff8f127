"""The processes that train one network together, started by torchrun or by train.py.

Each has its share of every batch. The first process writes files. All processes follow what it
decides and fail if it fails.
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
    """`rank` of `size` processes, `local_rank` of `local_size` on this machine; default: alone."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Group":
        """Read the group from the variables that torchrun sets; raises ConfigError."""
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
        """Return whether this process is the one that writes."""
        return self.rank == 0

    def join(self) -> None:
        """Meet the other processes, if there are any.

        Small messages are sent by gloo, so that they use no GPU.
        """
        if self.size > 1:
            both = "cpu:gloo,cuda:nccl"
            distributed.init_process_group(both if torch.cuda.is_available() else "gloo")

    def leave(self) -> None:
        """Leave the group, however the process ends: gloo's threads abort one that just exits."""
        if self.size > 1 and distributed.is_initialized():
            with suppress(RuntimeError):  # the others may be gone already
                distributed.destroy_process_group()

    def first(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the first process; raises its TrainerError in all."""
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
        """Return whether the flag is true in any process."""
        return bool(self._total(torch.tensor(float(flag)))) if self.size > 1 else flag

    def mean(self, value: float) -> float:
        """Return the mean over the processes, which have equal shares."""
        if self.size == 1:
            return value
        return float(self._total(torch.tensor(value, dtype=torch.float64))) / self.size

    def each(self, value: T) -> list[T]:
        """Return every process's value, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def interleaved(self, mine: Tensor, size: int) -> Tensor:
        """Return all rows [size, ...] in order from this process's rows [n, ...].

        Each process has every so-many-th row; rows that only fill up the last round are cut off.
        """
        return torch.stack(self.each(mine), dim=1).flatten(0, 1)[:size]

    def _total(self, value: Tensor) -> Tensor:
        distributed.all_reduce(value)
        return value


def is_lost(error: Exception) -> bool:
    """Return whether the error means that another process ended, which logs the reason itself."""
    named = isinstance(error, distributed.DistError) or any(part in str(error) for part in _LOST)
    return distributed.is_initialized() and isinstance(error, RuntimeError) and named
