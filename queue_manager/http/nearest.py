"""Suggest the known name that is nearest to a mistyped one."""

import difflib
from collections.abc import Iterable

#: Comparing is slow for long texts, and a name may be as long as a request.
_COMPARED = 80


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "did you mean X?" for the nearest of `known`; an empty text if none is near."""
    near = difflib.get_close_matches(name[:_COMPARED], list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""
