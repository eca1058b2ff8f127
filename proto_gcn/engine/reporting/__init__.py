"""What a run reports while it trains: logs, metrics, telemetry."""
