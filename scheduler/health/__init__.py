"""The scheduler's own health: lead, pace, outages, alerts, liveness, backoff."""
