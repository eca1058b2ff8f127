"""This package defines the training configuration and reads it from a file.

train.py     the whole config; `python -m proto_gcn.config` prints its JSON Schema
model.py     the network; graph.py: its joint layout
data.py      the data file, the augmentation and the batches
recipe.py    the optimiser, the learning rate, the evaluation and the cost of a step
section.py   what all sections share: strict types and unknown keys refused
file.py      reads a file, lays it over its base and words an error as one sentence
bases/       the published settings of six data sets, for the key `base`
"""
