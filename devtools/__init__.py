"""Tools that tests, benchmarks and `make docs` share; none is installed or part of an image."""

from pathlib import Path

#: The root of the repository.
ROOT = Path(__file__).parent.parent
