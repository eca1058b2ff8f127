"""What `make bench` measures. One file a benchmark, each with `run() -> list[Result]`."""
