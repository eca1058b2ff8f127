"""What a trained network is worth: scores, metrics, fusion, predictions (the commands: proto_gcn/__main__.py).

metrics.py      scores and labels -> top-k, mean class accuracy, confusion matrix
score_file.py   the scores of one network on one split, as a file
trained.py      a checkpoint and its config -> a network that can be asked
scoring.py      network and batches -> scores, and the mean topology of each class
fusion.py       several score files -> one, with published, given or fitted weights
class_names.py  a text file that names the classes
"""
