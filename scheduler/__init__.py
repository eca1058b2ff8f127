"""The scheduler: every few seconds it decides which queued job starts where, and starts it.

Read `loop.py` first. `decide/` holds the decisions (pure), `apply/` carries them out, `engines/` runs
the workflows (Argo, or processes of this machine), `health/` keeps the scheduler itself going.
"""
