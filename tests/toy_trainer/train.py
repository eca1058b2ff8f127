"""A training with the trainer's contract (inputs, outputs, exit code) that lasts as configured.

Its config is `{seconds: 1, exit: 0, cores: 0, say: "…"}`. Each process writes a line to
`lives.log` when it arrives, one when it has the run folder (with its GPUs) and one at its end, so
that a test can see whether two processes of one job ever ran at the same time.
"""

import fcntl
import json
import os
import signal
import sys
import time
from multiprocessing import Process
from pathlib import Path

import yaml


def main() -> int:
    config = yaml.safe_load(Path(os.environ["CONFIG_FILE"]).read_text(encoding="utf-8"))
    folder = run_folder()
    folder.mkdir(parents=True, exist_ok=True)
    note(folder, "arrive")
    lock = (folder / "lock").open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)
    if (folder / "result.json").exists():
        return 0
    note(folder, "start", gpus=os.environ.get("CUDA_VISIBLE_DEVICES"))
    signal.signal(signal.SIGTERM, lambda *_: stop(folder))
    print(config.get("say", "training"), flush=True)
    (folder / "train.log").write_text("epoch 1/1\n", encoding="utf-8")
    burn(config.get("cores", 0), config.get("seconds", 1))
    note(folder, "end")
    if config.get("exit", 0) == 0:
        (folder / "result.json").write_text(json.dumps({"status": "succeeded"}), encoding="utf-8")
    else:
        print("the training could not continue", flush=True)
    return config.get("exit", 0)


def run_folder() -> Path:
    work = os.environ["WORK_DIR"].removeprefix("/data/")
    return Path(os.environ["DATA_ROOT"]) / work / "runs" / os.environ["JOB_ID"]


def note(folder: Path, what: str, **more: object) -> None:
    with (folder / "lives.log").open("a") as file:
        file.write(json.dumps({"what": what, "pid": os.getpid(), "at": time.time(), **more}) + "\n")


def stop(folder: Path) -> None:
    note(folder, "end")
    os._exit(143)


def burn(cores: int, seconds: float) -> None:
    """Keep `cores` cores busy for `seconds`, so that a node's CPU gate sees it."""
    until = time.monotonic() + seconds
    workers = [Process(target=spin, args=(until,), daemon=True) for _ in range(cores)]
    for worker in workers:
        worker.start()
    while time.monotonic() < until:
        time.sleep(min(0.05, max(0.0, until - time.monotonic())))


def spin(until: float) -> None:
    while time.monotonic() < until:
        pass


if __name__ == "__main__":
    sys.exit(main())
