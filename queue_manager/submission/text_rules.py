"""This module has the rules for texts of a submission.

Each function is pure and returns the rule that the text breaks, or None.
"""

import posixpath
import unicodedata

from queue_manager.files.disk import DATA
from queue_manager.http.problems import short

CONFIG_SUFFIXES = (".yaml", ".yml")

_MAX_BYTES = 4096
_MAX_FOLDER_BYTES = 255  # the limit of file systems
#: Control and format characters (bidi overrides, zero-width ones), surrogates, separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def broken_by_text(text: str, most_bytes: int = _MAX_BYTES) -> str | None:
    """Check any text: no character that deceives a reader, nothing that Argo evaluates."""
    if len(text) > most_bytes or len(text.encode("utf-8", "surrogatepass")) > most_bytes:
        return f"must not be longer than {most_bytes} bytes"
    if not text.isprintable() and any(
        unicodedata.category(character) in _UNPRINTABLE for character in text
    ):
        return "must not have control, bidirectional or invisible characters"
    if "{{" in text:
        return "must not have {{ in it"
    return None


def broken_by_workdir(workdir: str, user: str, anywhere: bool) -> str | None:
    """Check a workdir: /data/<user> or below; with `anywhere`, below /data but for data sets."""
    return (
        broken_by_text(workdir)
        or _broken_by_path(workdir)
        or _broken_by_place(workdir, user, anywhere)
    )


def broken_by_config_name(name: str) -> str | None:
    """Check the name of a file below the config folder."""
    if broken := broken_by_text(name):
        return broken
    if name.startswith("/") or not name.endswith(CONFIG_SUFFIXES):
        return (
            "must be the relative path of a .yaml or .yml file below the config folder; "
            "GET /configs lists them"
        )
    return _broken_by_path(name)


def _broken_by_path(path: str) -> str | None:
    parts = path.split("/")
    if ".." in parts:
        return "must not have .. in it"
    if any(len(part.encode()) > _MAX_FOLDER_BYTES for part in parts):
        return f"must not have a part longer than {_MAX_FOLDER_BYTES} bytes"
    normal = posixpath.normpath(path).replace("//", "/")
    return None if path == normal else f"must be normalised: {short(normal)}"


def _broken_by_place(workdir: str, user: str, anywhere: bool) -> str | None:
    if anywhere:
        if _is_below(workdir, DATA) and not _is_below(workdir, f"{DATA}/datasets"):
            return None
        return f"must be a folder at or below {DATA}, outside {DATA}/datasets"
    return (
        None
        if _is_below(workdir, f"{DATA}/{user}")
        else f"must be {DATA}/{user} or a folder below it"
    )


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
