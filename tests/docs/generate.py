"""The documents that are made from the code: `python -m tests.docs.generate` writes them (make docs)."""

from collections.abc import Callable, Mapping

from tests.docs.cli_reference import cli_reference
from tests.docs.settings_reference import settings_reference
from tests.system import ROOT

MADE: Mapping[str, Callable[[], str]] = {"docs/cli.md": cli_reference, "docs/settings.md": settings_reference}


def main() -> None:
    for name, make in MADE.items():
        (ROOT / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
