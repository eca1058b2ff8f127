"""Benchmarks that need a real API server (devtools/cluster starts it)."""
