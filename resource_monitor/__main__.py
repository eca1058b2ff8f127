"""Run the monitor (`python -m resource_monitor`) until SIGTERM.

The exit code is 2 if a setting is wrong, 1 if the port is not available.
"""

import sys

from jobqueue.service.listening import CannotListen, listen
from jobqueue.service.log import configure_logging, get_logger
from jobqueue.service.settings import load_settings, shown
from resource_monitor.server import Server
from resource_monitor.settings import Settings


def main() -> int:
    settings = load_settings(Settings)
    configure_logging("resource-monitor", settings.log_level, settings.log_format)
    try:
        remedy = "Set MONITOR_HOST and MONITOR_PORT to another address."
        listener = listen(settings.monitor_host, settings.monitor_port, remedy)
    except CannotListen as error:
        print(error, file=sys.stderr)
        return 1
    get_logger(__name__).info("Resource monitor started.", **shown(settings))
    Server(settings, listener).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
