"""Skeleton data.

pickle_file.py  reads a pickle without running it -> annotations.py, compressed.py: checked keypoints
samples.py      what a split holds, packed.py: in memory that workers share, in_files.py: left in its files
pipeline.py     what happens to a sample: transforms.py, draws.py
dataset.py      places in an epoch -> batches
synthetic.py    makes a data set to try the trainer on
"""
