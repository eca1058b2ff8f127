"""`gpuq`: every error is a sentence and an exit code, never a trace-back."""

import os
import sys
import traceback
from collections.abc import Sequence

import click

from gpuq.cli import cli
from gpuq.errors import GpuqFailure, Interrupted
from gpuq.text import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    try:
        cli.main(arguments, prog_name="gpuq", standalone_mode=False)
    except GpuqFailure as failure:
        say(str(failure))
        return failure.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return Interrupted.exit_code
    except BrokenPipeError:
        _drop_stdout()  # the reader (head, less) has seen enough
    except Exception as error:  # noqa: BLE001  # a bug of ours: one sentence for the user, the rest on demand
        if os.environ.get("GPUQ_DEBUG"):
            traceback.print_exc()
        say(f"gpuq met an error of its own ({type(error).__name__}: {error}); GPUQ_DEBUG=1 shows where.")
        return 1
    return 0


def _drop_stdout() -> None:
    """Else the interpreter's last flush would complain about the broken pipe once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
