"""The formats of data files, and how they are read safely."""
