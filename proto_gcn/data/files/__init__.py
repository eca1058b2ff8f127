"""This package reads data files.

pickle_file.py     reads a pickle without running it
annotations.py     the splits and annotations of a data file, checked
compressed.py      expands the compressed poses of Kinetics
keypoint_files.py  keypoints that stay in separate files, read when they are needed
"""
