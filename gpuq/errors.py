"""The errors that end a command, each with its exit code.

GpuqFailure          1    any other failure
├── TrainingFailed   3    the job that was waited for did not succeed
├── NotFound         4    there is no such job
├── Refused          5    the queue manager refuses the request
├── Unreachable      6    no queue manager answers at that address
├── TimedOut       124    the wait took longer than --timeout
├── Interrupted    130    Ctrl-C while waiting
└── ServerTrouble    1    the queue manager answers, but cannot serve the request now
"""


class GpuqFailure(Exception):
    """The base of all of them; the text is what a person reads."""

    exit_code = 1


class TrainingFailed(GpuqFailure):
    """The job that was waited for did not succeed."""

    exit_code = 3


class NotFound(GpuqFailure):
    """There is no such job."""

    exit_code = 4


class Refused(GpuqFailure):
    """The queue manager refuses the request."""

    exit_code = 5


class Unreachable(GpuqFailure):
    """No queue manager answers at that address."""

    exit_code = 6


class TimedOut(GpuqFailure):
    """The wait took longer than --timeout."""

    exit_code = 124


class Interrupted(GpuqFailure):
    """Ctrl-C ended the wait."""

    exit_code = 130


class ServerTrouble(GpuqFailure):
    """Redis or the scheduler does not respond, or the server has an internal error.

    It may be over in a moment. `code` names the problem in the answers that have one (/readyz).
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.code = code
