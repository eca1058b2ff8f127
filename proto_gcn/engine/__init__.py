"""One training run: its folder, its log, its checkpoints, its exit code.

run.py          from the environment to an exit code
trainer.py      the loop: epochs, evaluation, checkpoints
learner.py      one step: network, optimiser, scaler
network.py      the network, plain or fused, set up as the config asks
trained.py      the network of a finished training, to score with
checkpoints/    writing checkpoints, and resuming from them
processes/      several processes that train together
reporting/      train.log, metrics.jsonl, telemetry
device.py       the GPU or CPU, and what to change if memory runs out
settings.py, run_folder.py, stopping.py, failpoint.py   environment, files, SIGTERM, tests
"""
