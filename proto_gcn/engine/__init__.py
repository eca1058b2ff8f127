"""One training run: its folder, its log, its checkpoints, its exit code."""
