"""Run `gpuq`; every error is a sentence and an exit code, never a traceback."""

import os
import sys
import traceback
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    _open_closed_streams()
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # while Python was still loading the program
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
        _drop_stdout()  # the reader (head, less) has closed the pipe
    except SystemExit:  # click ends like this after completion, and at a broken pipe
        if "_GPUQ_COMPLETE" in os.environ:
            raise
        _drop_stdout()
    except OSError as error:
        _drop_stdout()
        say(f"gpuq cannot write its output: {error.strerror or error}.")
        return 1
    except Exception as error:  # noqa: BLE001  # a bug: show one sentence
        return _internal_error(error)
    return 0


def _internal_error(error: Exception) -> int:
    from gpuq.output.text import say

    if os.environ.get("GPUQ_DEBUG"):
        traceback.print_exc()
    what = f"{type(error).__name__}: {error}"
    say(f"Internal error of gpuq ({what}); GPUQ_DEBUG=1 shows where it happened.")
    return 1


def _open_closed_streams() -> None:
    """Open /dev/null for each stream that the caller closed (`>&-`): Python has none then."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def _drop_stdout() -> None:
    """Redirect stdout, so that the interpreter's last flush does not report the broken pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
