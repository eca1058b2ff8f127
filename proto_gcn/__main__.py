"""`python -m proto_gcn COMMAND`: what is done with trained networks (training itself is train.py)."""

import argparse
import sys

from proto_gcn.commands import evaluate, fuse, predict, report
from proto_gcn.engine.device import is_out_of_memory
from proto_gcn.errors import FAILED, INTERRUPTED, TrainerError

COMMANDS = (evaluate, predict, fuse, report)


def main(arguments: list[str] | None = None) -> int:
    """The exit code; what is wrong with the input, or the machine, is one sentence on stderr."""
    options = make_parser().parse_args(arguments)
    try:
        options.run(options)
    except TrainerError as error:
        return _said(" ".join(str(error).split()), error.exit_code)
    except OSError as error:
        return _said(
            f"cannot use {error.filename or 'a file'}: {error.strerror}; free space or access, retry",
            FAILED,
        )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _said(
            "out of memory: give it more, or take --device cpu where the GPU is short of it", FAILED
        )
    except KeyboardInterrupt:
        return _said("interrupted", INTERRUPTED)
    return 0


def _said(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proto_gcn", description="Use trained Proto-GCN networks."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
