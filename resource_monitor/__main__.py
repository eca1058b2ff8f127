"""`python -m resource_monitor`: exit 2 on wrong settings, 1 where the port cannot be had, else serve until SIGTERM."""

import sys

from jobqueue.log import configure_logging, get_logger
from resource_monitor.server import CannotListen, Server, listen
from resource_monitor.settings import BadSettings, load


def main() -> int:
    try:
        settings = load()
    except BadSettings as error:
        print("\n".join(error.sentences), file=sys.stderr)
        return 2
    configure_logging("resource-monitor", settings.log_level, settings.log_format)
    try:
        listener = listen(settings.monitor_host, settings.monitor_port)
    except CannotListen as error:
        print(error, file=sys.stderr)
        return 1
    get_logger(__name__).info("The monitor starts", **settings.model_dump(mode="json"))
    Server(settings, listener).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
