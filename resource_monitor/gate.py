"""This module compares one quantity over the window with its threshold.

Thresholds are strict, the worst value counts, and an unknown value never passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobqueue.resources import (
    LARGEST,
    PERCENT,
    NodeReason,
    NodeReasonCode,
    Thresholds,
    is_amount,
)


@dataclass(frozen=True)
class Gate:
    """The rule that decides whether a node is free; without `require_gpu` it may have no GPU."""

    thresholds: Thresholds
    require_gpu: bool = True


@dataclass(frozen=True)
class Quantity:
    """The values of one quantity, oldest first, with the age of each (s).

    `owner` names what was measured at the beginning of a sentence ("GPU 0"), `gpu` is its index.
    """

    owner: str
    values: Sequence[float | None]
    ages_s: Sequence[float]
    gpu: int | None = None

    def below(
        self, limit: float | None, busy: NodeReasonCode, unknown: NodeReasonCode
    ) -> list[NodeReason]:
        """Return the reason if a value was not < `limit` percent; none if the limit is None."""
        if limit is None:
            return []
        if not self._are_all_known(PERCENT):
            return [NodeReason(unknown, f"{self.owner} does not report its usage.", self.gpu)]
        worst, when = self._worst(max)
        if worst < limit:
            return []
        verb = f"was at {number(worst)} % {when}" if when else f"is at {number(worst)} %"
        message = f"{self.owner} {verb} (limit: below {number(limit)} %)."
        return [NodeReason(busy, message, self.gpu, worst, limit, "percent")]

    def above(
        self, limit: float | None, short: NodeReasonCode, unknown: NodeReasonCode
    ) -> list[NodeReason]:
        """Return the reason if a value was not > `limit` MiB; none if the limit is None."""
        if limit is None:
            return []
        if not self._are_all_known(LARGEST):
            return [NodeReason(unknown, f"{self.owner} does not report its free memory.", self.gpu)]
        worst, when = self._worst(min)
        if worst > limit:
            return []
        verb = f"had {number(worst)} MB free {when}" if when else f"has {number(worst)} MB free"
        message = f"{self.owner} {verb} (limit: above {number(limit)} MB)."
        return [NodeReason(short, message, self.gpu, worst, limit, "mb")]

    def _are_all_known(self, high: float) -> bool:
        return all(is_amount(value, high) for value in self.values)

    def _worst(self, worst_of: Callable[[list[float]], float]) -> tuple[float, str]:
        """Return the worst value and when it was last read ("4 s ago", or "" if it is the newest).

        All values must be known.
        """
        known = [value for value in self.values if value is not None]
        worst = worst_of(known)
        last = max(i for i, value in enumerate(known) if value == worst)
        return worst, "" if last == len(known) - 1 else f"{number(self.ages_s[last])} s ago"


def number(value: float) -> str:
    """Format a number with at most one decimal: 93, 37.5."""
    return f"{value:.1f}".removesuffix(".0")
