"""Measure the fused network against the plain one (proto_gcn/model/); `make bench-trainer`.

cases.py   the two networks with the same parameters, and what each case does with them
timing.py  seconds of each case, interleaved in one process
loading.py samples per second of a loader worker
memory.py  peak memory of each case, in a process of its own
"""
