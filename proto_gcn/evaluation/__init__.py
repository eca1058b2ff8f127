"""This package measures a trained network: scores, metrics and the fusion of several networks.

metrics.py      scores and labels -> top-k, mean class accuracy, confusion matrix
score_file.py   the scores of one network on one split, as a file
scoring.py      network and batches -> scores, and the mean topology of each class
fusion.py       several score files -> one, with published, given or fitted weights
class_names.py  a text file with the names of the classes
"""
