"""One quantity over the window against its threshold: strict, the worst value counts, and unknown never passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobqueue.resources import LARGEST, PERCENT, NodeReason, NodeReasonCode, is_amount


@dataclass(frozen=True)
class Course:
    """The values of one quantity, oldest first, with the age of each (s), and whose they are ("GPU 0")."""

    whose: str
    values: Sequence[float | None]
    ages_s: Sequence[float]
    gpu: int | None = None

    def below(
        self, limit: float | None, busy: NodeReasonCode, unknown: NodeReasonCode
    ) -> list[NodeReason]:
        """Why this was not always < `limit` percent; nothing if it was, or if the limit is off (None)."""
        if limit is None:
            return []
        if not all(is_amount(value, PERCENT) for value in self.values):
            return [NodeReason(unknown, f"{self.whose} does not say how busy it is.", self.gpu)]
        worst, when = self._worst(max)
        if worst < limit:
            return []
        verb = f"was at {number(worst)} % {when}" if when else f"is at {number(worst)} %"
        message = f"{self.whose} {verb} (limit: below {number(limit)} %)."
        return [NodeReason(busy, message, self.gpu, worst, limit, "percent")]

    def above(
        self, limit: float | None, short: NodeReasonCode, unknown: NodeReasonCode
    ) -> list[NodeReason]:
        """Why this was not always > `limit` MiB; nothing if it was, or if the limit is off (None)."""
        if limit is None:
            return []
        if not all(is_amount(value, LARGEST) for value in self.values):
            return [
                NodeReason(
                    unknown, f"{self.whose} does not say how much memory it has free.", self.gpu
                )
            ]
        worst, when = self._worst(min)
        if worst > limit:
            return []
        verb = f"had {number(worst)} MB free {when}" if when else f"has {number(worst)} MB free"
        message = f"{self.whose} {verb} (limit: above {number(limit)} MB)."
        return [NodeReason(short, message, self.gpu, worst, limit, "mb")]

    def _worst(self, worst_of: Callable[[list[float]], float]) -> tuple[float, str]:
        """The worst value, and when it was last read, in words: "4 s ago", or "" if it still holds."""
        known = [value for value in self.values if value is not None]
        worst = worst_of(known)
        last = max(i for i, value in enumerate(known) if value == worst)
        return worst, "" if last == len(known) - 1 else f"{number(self.ages_s[last])} s ago"


def number(value: float) -> str:
    """As people write it: 93, 37.5."""
    return f"{value:.1f}".removesuffix(".0")
