"""Names of the classes: a text file with one name a line, the first for class 0."""

from pathlib import Path

from proto_gcn.errors import DataError


def read_class_names(path: Path | None, classes: int) -> list[str]:
    """As many names as classes, `class 0`, ... without a file; raises DataError."""
    if path is None:
        return [f"class {number}" for number in range(classes)]
    try:
        names = [
            line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
        ]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"cannot read the class names {path}: {reason}") from error
    if len(names) != classes:
        raise DataError(
            f"{path} names {len(names)} classes, and there are {classes}; give one line to each class"
        )
    return names
