"""This package forecasts when queued jobs start, and judges whether the scheduler works."""
