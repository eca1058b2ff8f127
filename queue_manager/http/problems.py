"""The errors that a request can end with; problem_answers.py turns them into answers."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice

from queue_manager.http.nearest import did_you_mean

RETRY_SOON_S = 5
MOST_ERRORS = 10
_MOST_NAMED = 10
_LONGEST_SHOWN = 80


@dataclass(frozen=True)
class FieldError:
    """A field that is refused: the rule that it breaks, and what to write instead."""

    field: str
    rule: str
    hint: str = ""

    @property
    def sentence(self) -> str:
        """The error as one sentence."""
        return f"{self.field}: {self.rule}" + (f" ({self.hint})" if self.hint else "")


class Problem(Exception):
    """An answer that reports an error; `detail` is one sentence for a person.

    `code` names the problem for programs, in the calls that have such codes.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        code: str = "",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}
        self.code = code


def bad_fields(found: Sequence[FieldError]) -> Problem:
    """Return a 400 about fields: the first one in the sentence, all of them in `errors`."""
    more = f" ({len(found) - 1} more to correct)" if len(found) > 1 else ""
    return Problem(HTTPStatus.BAD_REQUEST, found[0].sentence + more, found)


def bad_field(name: str, rule: str, hint: str = "") -> Problem:
    """Return a 400 about one field."""
    return bad_fields([FieldError(name, rule, hint)])


def unknown_name(name: str, known: Iterable[str], kind: str = "field") -> FieldError:
    """Return the error for a `name` that is not one of `known`; it suggests the nearest one."""
    names = sorted(known)
    known_ones = f"known are {some(names)}" if names else "none is known"
    return FieldError(short(name), f"unknown {kind}", did_you_mean(name, names) or known_ones)


def some(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def unknown_names(
    names: Iterable[str], known: Collection[str], kind: str = "field"
) -> list[FieldError]:
    """Return errors for the first few of `names` that are not `known`: there may be thousands."""
    unknown = islice((name for name in names if name not in known), MOST_ERRORS)
    return [unknown_name(name, known, kind) for name in unknown]


def short(value: object) -> str:
    """Return `value` as a text that is short enough for a sentence, whatever a client sent."""
    text = value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
