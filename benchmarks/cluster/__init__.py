"""These benchmarks need a real API server, which devtools/cluster starts."""
