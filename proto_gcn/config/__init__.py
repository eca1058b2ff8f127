"""The training configuration: its sections, its defaults, and how a file is read."""
