"""The scheduler's decisions: pure functions, no I/O."""
