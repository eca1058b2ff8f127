"""The training step against the reference run batched (devtools/reference/batched.py); `make bench-trainer`.

cases.py   the two networks with the same parameters, and what is done with them
timing.py  seconds of each case, interleaved in one process
loading.py samples per second of a loader worker
memory.py  peak memory of each case, in a process of its own
"""
