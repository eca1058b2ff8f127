"""The scheduler: every few seconds it decides which queued job starts where, and makes it so.

`loop.py` is the page to read first; `admission.py` and `reconcile.py` decide (pure); `admit.py` and `reconciler.py` do
it; `local.py` and `monitor_client.py` are the doors to the engine and to the monitors.
"""
