"""This package reads a node's GPUs, CPU, memory and processes, without judging them."""
