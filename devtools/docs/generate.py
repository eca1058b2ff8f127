"""Write the documents that are made from the code: `python -m devtools.docs.generate`."""

from collections.abc import Callable, Mapping

from devtools import ROOT
from devtools.docs.cli_reference import cli_reference
from devtools.docs.settings_reference import settings_reference

MADE: Mapping[str, Callable[[], str]] = {
    "docs/cli.md": cli_reference,
    "docs/settings.md": settings_reference,
}


def main() -> None:
    for name, make in MADE.items():
        (ROOT / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
