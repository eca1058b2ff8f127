"""Translate what the API server shows of a Workflow into a WorkflowStatus: pure functions."""
