"""The raw readings of a node: GPUs, CPU, memory, processes."""
