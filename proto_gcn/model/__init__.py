"""Proto-GCN in plain PyTorch, to be read from top to bottom; fused/ computes the same faster.

This package keeps the parameter names, shapes and order of the published checkpoints. Read it in
this order (CVPR 2025, arXiv 2411.18941; published code: github.com/firework8/ProtoGCN):

head.py        the whole network: backbone, classifier, losses
backbone.py    input batch norm, blocks, the rebuilt topology
gcn.py         one graph unit: joints exchange features
refinement.py  the topology that they exchange features over
graph.py       the matrices that the learnt adjacency starts from
tcn.py         one temporal unit: frames exchange features
prototype.py   the prototype reconstruction network
loss.py        the class-specific contrastive loss
weights.py     weights of a checkpoint by name
fused/         the same blocks with fused operations; `engine.fused` in the config chooses

Letters in shapes: N samples, M persons, B = N*M rows, T frames (T' after the strides), V joints,
C channels, K subsets of the graph with mid channels each, L classes.
"""
