"""This package watches the scheduler itself: lead, outages, alerts, liveness, backoff."""
