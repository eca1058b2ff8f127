"""This module reads the map of users to Unix accounts, for labs whose `/data` belongs to them."""

from pathlib import Path
from typing import Any

import yaml

#: user -> (uid, gid)
UnixIds = dict[str, tuple[int, int]]

_LARGEST = 2**31 - 1


def load_unix_ids(path: Path) -> UnixIds:
    """Return the map in a file like `ann: {uid: 1001, gid: 1001}`; raises ValueError."""
    try:
        accounts = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"the file is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(accounts or {}, dict):
        raise ValueError("the file must map users to accounts, like ann: {uid: 1001, gid: 1001}")
    return {str(user): _account(user, account) for user, account in (accounts or {}).items()}


def _account(user: Any, account: Any) -> tuple[int, int]:
    match account:
        case {"uid": uid, "gid": gid, **rest} if not rest and _is_id(uid) and _is_id(gid):
            return uid, gid
    raise ValueError(
        f"the account of {user} must be like {{uid: 1001, gid: 1001}}, and never root's 0"
    )


def _is_id(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _LARGEST
