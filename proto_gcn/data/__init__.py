"""This package turns a data file of skeletons into batches.

files/              reads a pickle without running it, and checks its annotations
samples.py          the samples of a split; packed.py keeps them in memory that workers share
pipeline.py         turns a sample into clips, with transforms.py and frame_sampling.py
dataset.py          the order of an epoch, and its batches
synthetic.py        generates a data set to try the trainer with
"""
