"""The generated documents agree with the code."""

from collections.abc import Callable

import pytest

from devtools import ROOT
from devtools.docs.generate import MADE
from devtools.docs.settings_reference import SERVICES, settings_reference


@pytest.mark.parametrize(("name", "make"), MADE.items(), ids=list(MADE))
def test_it_is_what_the_generator_makes(name: str, make: Callable[[], str]) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == make(), (
        f"{name} is behind the code: make docs"
    )


def test_every_setting_is_explained() -> None:
    rows = [line.split("|") for line in settings_reference().splitlines() if line.startswith("| `")]
    assert {row[1].strip(" `") for row in rows} == {
        name.upper() for kind in SERVICES.values() for name in kind.model_fields
    }
    assert [row[1] for row in rows if not row[4].strip()] == []
