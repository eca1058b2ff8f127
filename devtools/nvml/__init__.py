"""A scripted NVML library in C: nvidia-ml-py loads it, and a test says what each GPU does."""
