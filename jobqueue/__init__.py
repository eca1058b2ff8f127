"""This package holds what the services share: jobs, phases, reasons, the Redis contract, the log.

It imports no Flask, no Kubernetes and no NVML. Read `job.py`, `phase.py` and `store/keys.py` first;
the API writes to Redis through `store/client.py`, the scheduler through `store/leader.py`.
"""
