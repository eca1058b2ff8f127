"""What gpuq's services agree on: the job, its phases and reasons, the Redis contract, the clock and the log.

No Flask, no Kubernetes, no NVML in here. Read `job.py`, `phase.py` and `keys.py` first; `store.py` and `leader.py` are
the two doors to Redis (the API's and the scheduler's).
"""
