"""This package holds the Redis contract: keys, scripts, and the clients.

The API uses `client.py`, the scheduler also `leader.py`.
"""
