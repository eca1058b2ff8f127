"""This package is the only way to Redis: keys, scripts, and two clients.

`client.py` is for everybody, `leader.py` has the scheduler's writes.
"""
