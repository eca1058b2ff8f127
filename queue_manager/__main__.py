"""`python -m queue_manager` serves the API until SIGTERM.

It exits with 2 on invalid settings and with 1 if it cannot listen on its port.
"""

import sys

from jobqueue.failpoints import check_failpoints
from jobqueue.service.listening import CannotListen, listen
from jobqueue.service.log import configure_logging, get_logger
from jobqueue.service.settings import load_settings, shown
from queue_manager.server import Server
from queue_manager.settings import QueueManagerSettings


def main() -> int:
    """Serve; returns the exit code."""
    check_failpoints()
    settings = load_settings(QueueManagerSettings)
    configure_logging("queue-manager", settings.log_level, settings.log_format)
    try:
        remedy = "Set QUEUE_MANAGER_PORT to another port."
        listener = listen(settings.queue_manager_host, settings.queue_manager_port, remedy)
    except CannotListen as error:
        print(error, file=sys.stderr)
        return 1
    get_logger(__name__).info("Queue manager started.", **shown(settings))
    Server(settings, listener).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
