"""This package is the engine that runs jobs as processes of this machine."""
