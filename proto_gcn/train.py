"""The trainer's command, `python train.py`: environment -> one training -> exit code."""

import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    # Before the slow imports: as a container's first process we would otherwise ignore SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # `python train.py` puts this folder first on the path, where data/ and config.py would shadow others' modules.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from proto_gcn.engine.run import main

    sys.exit(main())
