"""This package has the benchmarks of `make bench`: a file each, with `run() -> list[Result]`."""
