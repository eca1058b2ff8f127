"""The trainer's command, `python train.py`: environment -> one training -> exit code."""

import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    # Before the slow imports: as a container's first process we would otherwise ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # `python train.py` puts this folder first on the path, where data/ and config.py would shadow others' modules.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from proto_gcn.child_process import die_with
    from proto_gcn.engine.processes.launch import command, launch, processes
    from proto_gcn.errors import ConfigError

    if "WORLD_SIZE" in os.environ:
        die_with(os.getppid())()
    try:
        count = processes(os.environ)
    except ConfigError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)
    if count > 1:
        sys.exit(launch(command(), count))
    from proto_gcn.engine.run import main

    sys.exit(main())
