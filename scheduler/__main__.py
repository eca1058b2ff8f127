"""`python -m scheduler`: read the settings, connect to the outside systems, run until SIGTERM."""

import os
import signal
import socket
import uuid

from jobqueue.failpoints import check_failpoints
from jobqueue.service.log import configure_logging, get_logger
from jobqueue.service.settings import load_settings, refuse_to_start, shown
from jobqueue.store.client import Store
from scheduler.context import Context
from scheduler.engines.by_name import Engines
from scheduler.engines.contract import Engine
from scheduler.engines.local.engine import LocalEngine, default_images
from scheduler.health.alerts import Alerts
from scheduler.loop import Scheduler
from scheduler.monitors import MonitorClient
from scheduler.settings import SchedulerSettings


def main() -> None:
    """Run the scheduler until SIGTERM or SIGINT."""
    check_failpoints()
    settings = load_settings(SchedulerSettings)
    configure_logging("scheduler", settings.log_level, settings.log_format)
    get_logger(__name__).info("Scheduler starting.", **shown(settings))
    context = Context(
        store=Store.connect(settings.redis_url),
        engines=Engines([_engine(settings)]),
        monitors=MonitorClient(settings.resource_monitor_url),
        alerts=Alerts(settings.alert_urls),
        settings=settings,
    )
    # Unique for each start: a lead that an earlier process had under this pid is not ours.
    holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    scheduler = Scheduler(context, holder)
    _stop_at_signals(scheduler)
    scheduler.run()


def _stop_at_signals(scheduler: Scheduler) -> None:
    def stop(_number: int, _frame: object) -> None:
        scheduler.stopping.set()
        scheduler.waker.wake()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _engine(settings: SchedulerSettings) -> Engine:
    return _argo(settings) if settings.engine == "argo" else _local(settings)


def _argo(settings: SchedulerSettings) -> Engine:
    # Imported here: one machine has no use for the library.
    from scheduler.engines.argo.connection import CredentialsMissing
    from scheduler.engines.argo.engine import ArgoEngine

    try:
        return ArgoEngine.connect(settings.workflow_namespace, look_back=settings.max_running_jobs)
    except CredentialsMissing as error:
        refuse_to_start(str(error))


def _local(settings: SchedulerSettings) -> Engine:
    images = {**default_images(), **settings.local_images}
    try:
        return LocalEngine(
            settings.local_state_dir,
            settings.data_root,
            images,
            settings.node_name,
            settings.local_grace_s,
        )
    except OSError as error:
        what = f"LOCAL_STATE_DIR={settings.local_state_dir} cannot be created ({error.strerror})"
        refuse_to_start(f"{what}; name another folder.")


if __name__ == "__main__":
    main()
