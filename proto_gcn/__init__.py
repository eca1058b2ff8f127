"""Proto-GCN, skeleton action recognition: the trainer that the queue runs as `python train.py`.

The model is that of Proto-GCN (CVPR 2025, arXiv 2411.18941) and of its published code
(github.com/firework8/ProtoGCN). A folder imports only from those above it:

errors.py, atomic_file.py, child_process.py, skeleton.py (joint layouts)
config/        the keys of a config file, typed; reads one and lays it over its base
data/          pickle -> samples -> pipeline -> batches; synthetic.py generates a data set
model/         graph -> gcn + tcn -> backbone -> head, losses
evaluation/    scores -> metrics, fusion of several networks
engine/        training: run.py (lock, exit code), the loop, checkpoints, processes, log
report/        a run folder -> report.html
commands/      evaluate, predict, fuse, report: `python -m proto_gcn COMMAND` (__main__.py)
train.py       the command of the container: one training in one or several processes
"""
