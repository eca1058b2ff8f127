"""This package makes the scheduler's decisions, in pure functions without I/O."""
