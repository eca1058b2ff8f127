"""The Redis contract: keys, scripts, and the two clients (`client.py` for the API, `leader.py` for the scheduler)."""
