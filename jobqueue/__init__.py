"""This package has what the services share: jobs, phases, reasons, the Redis contract, the log.

It imports no Flask, Kubernetes or NVML. Read `job.py`, `phase.py` and `store/keys.py` first; then
`store/client.py` (reads, and the API's writes) and `store/leader.py` (the scheduler's writes).
"""
