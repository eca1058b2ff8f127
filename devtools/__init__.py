"""What tests, benchmarks and `make docs` share; nothing of it is installed or shipped in an image."""

from pathlib import Path

#: The root of the repository.
ROOT = Path(__file__).parent.parent
