"""The engine that runs jobs as Argo Workflows."""
