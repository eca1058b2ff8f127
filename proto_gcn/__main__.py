"""`python -m proto_gcn COMMAND` uses trained networks; train.py is the training itself."""

import argparse
import sys

from proto_gcn.commands import evaluate, fuse, predict, report
from proto_gcn.engine.device import is_out_of_memory
from proto_gcn.errors import FAILED, INTERRUPTED, TrainerError

COMMANDS = (evaluate, predict, fuse, report)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; an error is one sentence on stderr."""
    options = make_parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        return _report("interrupted", INTERRUPTED)
    except TrainerError as error:
        return _report(" ".join(str(error).split()), error.exit_code)
    except OSError as error:
        return _report(_unusable_file(error), FAILED)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _report(OUT_OF_MEMORY, FAILED)
    return 0


OUT_OF_MEMORY = (
    "out of memory: give the command more memory, or use --device cpu if the GPU has too little"
)


def _unusable_file(error: OSError) -> str:
    name = error.filename or "a file"
    return (
        f"cannot use {name}: {error.strerror};"
        " free disk space or change the permissions, then retry"
    )


def _report(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


def make_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m proto_gcn", description="Use trained Proto-GCN networks."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
