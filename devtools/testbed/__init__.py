"""Fakes, real services as processes, and checks of what Redis holds, for tests and benchmarks."""
