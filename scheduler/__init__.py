"""This package schedules: every few seconds it decides which queued job starts where.

Read `cycle.py` first. `decide/` holds the decisions (pure), `apply/` carries them out, `engines/`
runs the workflows (Argo, or processes of this machine), `health/` watches the scheduler itself.
"""
