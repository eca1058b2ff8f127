"""The trainer's command, `python train.py`: environment -> one training -> exit code."""

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proto_gcn.engine.trainer import Trainer


def main() -> int:
    """Start a process for each GPU, or train in this one; returns the exit code."""
    from proto_gcn.child_process import die_with
    from proto_gcn.engine.processes.launch import command, launch, process_count
    from proto_gcn.errors import ConfigError

    if "WORLD_SIZE" in os.environ:
        die_with(os.getppid())()
    try:
        count = process_count(os.environ)
    except ConfigError as error:
        print(error, flush=True)
        return error.exit_code
    if count > 1:
        return launch(command(), count)
    from proto_gcn.engine import run

    return run.main(write_report=write_report)


def write_report(result: dict[str, Any], trainer: "Trainer") -> None:
    """Score the best checkpoint and write report.html.

    Its imports take a second, and a missing library must fail the report alone: they come late.
    """
    from proto_gcn.report.writer import write_final_report

    write_final_report(result, trainer)


if __name__ == "__main__":
    # Before the slow imports: a container's first process would otherwise ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # `python train.py` puts this folder first on the path, where config/ and data/ would shadow
    # modules of others.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.exit(main())
