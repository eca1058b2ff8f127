"""This module has the rule for user names, which are part of job ids, paths and object names."""

import re

USER_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,26}[a-z0-9])?")
USER_RULE = "must be 1 to 28 of a-z, 0-9 and -, and begin and end with a letter or a digit"
#: Folders below /data that belong to no user.
RESERVED_USERS = frozenset({"datasets"})


def broken_by_user(user: str) -> str | None:
    """Return the rule that the name breaks, or None."""
    if not USER_PATTERN.fullmatch(user):
        return USER_RULE
    return f"{user} is reserved and cannot be a user's name" if user in RESERVED_USERS else None
