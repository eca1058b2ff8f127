"""This package is the engine that runs jobs as Argo Workflows."""
