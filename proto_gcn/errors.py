"""This module lists what can stop a training, and the exit code of each."""

SUCCEEDED = 0
FAILED = 1
BAD_INPUT = 2
BUSY = 75  # EX_TEMPFAIL: the job is fine, and a later attempt can succeed
LOST = 76  # another process of the training ended; train.py exits with that process's code
INTERRUPTED = 130  # 128 + SIGINT: Ctrl-C in a command
TERMINATED = 143  # 128 + SIGTERM


class TrainerError(Exception):
    """Base of every expected failure; its text is one sentence for the user."""

    exit_code = FAILED
    shared = False  # true when all processes of a training raise it, so that one reports it


class ConfigError(TrainerError):
    """The config file, an option or an environment variable is wrong."""

    exit_code = BAD_INPUT


class DataError(TrainerError):
    """The data file is missing, unreadable, refused or does not fit the config."""

    exit_code = BAD_INPUT


class BusyError(TrainerError):
    """Another process uses the GPU or the run folder."""

    exit_code = BUSY


class TerminatedError(TrainerError):
    """The training stopped because it received SIGTERM."""

    exit_code = TERMINATED
    shared = True


def first_line(error: BaseException) -> str:
    """Return the first line of the error's text, or its type when it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip() if lines else type(error).__name__
