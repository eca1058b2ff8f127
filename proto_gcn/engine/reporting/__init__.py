"""This package reports what a run does while it trains: logs, metrics, telemetry."""
