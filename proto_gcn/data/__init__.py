"""Skeleton data: the NTU pickle, its transforms, batches, and a generated data set to try the trainer on."""
