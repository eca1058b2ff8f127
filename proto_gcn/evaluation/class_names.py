"""This module reads the names of the classes: a text file with one name per line."""

from pathlib import Path

from proto_gcn.errors import DataError


def read_class_names(path: Path | None, classes: int) -> list[str]:
    """Return one name for each class, `class 0`, ... without a file; raises DataError."""
    if path is None:
        return [f"class {number}" for number in range(classes)]
    names = _lines(path)
    if len(names) != classes:
        raise DataError(
            f"{path} has {len(names)} class names for {classes} classes; write one name per line"
        )
    return names


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"cannot read the class names {path}: {reason}") from error
    return [line.strip() for line in lines if line.strip()]
