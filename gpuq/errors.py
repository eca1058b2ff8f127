"""What ends a command, each with its exit code.

GpuqFailure          1    anything else
├── TrainingFailed   3    the job that was waited for did not succeed
├── NotFound         4    no such job
├── Refused          5    the queue manager refuses the request
├── Unreachable      6    nothing answers at that address
├── TimedOut       124    the wait took longer than --timeout
├── Interrupted    130    Ctrl-C while waiting
└── ServerTrouble    1    the queue manager answers, but cannot serve now
"""


class GpuqFailure(Exception):
    """Base of all of them; the text is what a person reads."""

    exit_code = 1


class TrainingFailed(GpuqFailure):
    exit_code = 3


class NotFound(GpuqFailure):
    exit_code = 4


class Refused(GpuqFailure):
    exit_code = 5


class Unreachable(GpuqFailure):
    exit_code = 6


class TimedOut(GpuqFailure):
    exit_code = 124


class Interrupted(GpuqFailure):
    exit_code = 130


class ServerTrouble(GpuqFailure):
    """Redis or the scheduler is away, or the server met an error of its own: it may be over in a moment."""
