"""The network; parameter names, shapes and order are those of the published checkpoints."""
