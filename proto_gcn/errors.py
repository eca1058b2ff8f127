"""What can stop a training, and the exit code that says so (docs: the trainer's contract)."""

SUCCEEDED = 0
FAILED = 1
BAD_INPUT = 2
BUSY = 75  # EX_TEMPFAIL: nothing is wrong with the job, try again later
LOST = 76  # another process of a training ended, and said why; train.py itself answers with that one's code
INTERRUPTED = 130  # 128 + SIGINT: Ctrl-C in a command
TERMINATED = 143  # 128 + SIGTERM


class TrainerError(Exception):
    """Base of every expected failure; its text is the one sentence a person gets to read."""

    exit_code = FAILED
    shared = False  # whether all processes of a training know it, so that the first alone says it


class ConfigError(TrainerError):
    """The config file or the environment is wrong."""

    exit_code = BAD_INPUT


class DataError(TrainerError):
    """The data file is missing, unreadable, refused or does not fit the config."""

    exit_code = BAD_INPUT


class BusyError(TrainerError):
    """The GPU or the run folder is in use by somebody else."""

    exit_code = BUSY


class TerminatedError(TrainerError):
    """SIGTERM arrived and was honoured."""

    exit_code = TERMINATED
    shared = True


def first_line(error: BaseException) -> str:
    """Of its text, which may go on for a page; its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip() if lines else type(error).__name__
