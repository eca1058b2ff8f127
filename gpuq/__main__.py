"""`gpuq`: every error is a sentence and an exit code, never a trace-back."""

import os
import sys
import traceback
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    _open_what_is_closed()
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # while Python was still reading the program
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    import click

    from gpuq.cli import cli
    from gpuq.errors import GpuqFailure, Interrupted
    from gpuq.output.text import say

    try:
        cli.main(arguments, prog_name="gpuq", standalone_mode=False)
        sys.stdout.flush()
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
    except SystemExit:  # click's own ways to end: completion, and a broken pipe before we see it
        if "_GPUQ_COMPLETE" in os.environ:
            raise
        _drop_stdout()
    except OSError as error:
        _drop_stdout()
        say(f"gpuq cannot write its output: {error.strerror or error}.")
        return 1
    except Exception as error:  # noqa: BLE001  # a bug of ours: one sentence for the user, the rest on demand
        if os.environ.get("GPUQ_DEBUG"):
            traceback.print_exc()
        say(
            f"gpuq met an error of its own ({type(error).__name__}: {error}); GPUQ_DEBUG=1 shows where."
        )
        return 1
    return 0


def _open_what_is_closed() -> None:
    """Whoever starts us with `>&-` wants to see nothing; Python then has no stream at all."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _drop_stdout() -> None:
    """Else the interpreter's last flush would complain about the broken pipe once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
