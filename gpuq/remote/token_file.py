"""Read the caller's access token from --token-file or GPUQ_TOKEN.

It is never an option's value, because `ps` would show it.
"""

import os
from pathlib import Path

from gpuq.errors import GpuqFailure

ENV = "GPUQ_TOKEN"


def read_token(path: Path | None) -> str | None:
    """Return the token, None if there is none. Raises GpuqFailure, which never repeats the text."""
    source = str(path) if path is not None else ENV
    token = (_read(path) if path is not None else os.environ.get(ENV, "")).strip()
    if not token and path is None:
        return None
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise GpuqFailure(
            f"{source} does not contain a token: "
            "it must be the one line that gpuq admin token create printed."
        )
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise GpuqFailure(f"--token-file {path} cannot be read ({error.strerror}).") from error
