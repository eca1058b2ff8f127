"""Provide the fixtures that tests of whole trainings share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.training.lab", "tests.training.same")

from tests.training.lab import Lab  # noqa: E402 - registered first


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first; otherwise one worker would wait for the other at the end."""
    items.sort(
        key=lambda item: (
            "test_training_learns" not in item.nodeid and "test_training_group" not in item.nodeid
        )
    )


@pytest.fixture
def make_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(name: str, **sizes: int) -> Lab:
        labs.append(Lab(tmp_path / name, **sizes))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    """Return a lab: a folder and a job."""
    return make_lab("data")
