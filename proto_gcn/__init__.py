"""Proto-GCN (skeleton action recognition): the trainer that the queue runs as ``python train.py``.

train.py       config -> Trainer -> exit code
config.py      the keys of a config file, typed
config_file.py reads one, lays it over its base (configs/), and words what is wrong with it
atomic_file.py files that appear whole or not at all
errors.py      what can go wrong, and the exit code of each
model/         graph -> gcn + tcn -> backbone -> head, losses
data/          pickle -> samples -> pipeline -> batches; synthetic.py makes a data set
engine/        one run: run.py (lock, exit codes), trainer.py (the loop), checkpoint, telemetry, log
evaluation/    scores -> metrics, fusion of several networks
report/        a run folder -> report.html
commands/      evaluate, predict, fuse, report: `python -m proto_gcn COMMAND` (__main__.py)
"""
