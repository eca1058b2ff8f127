"""This module shows that a scheduler is alive: lead, outages, heartbeat, liveness file."""

from jobqueue.errors import StoreUnavailable
from scheduler.context import Context
from scheduler.health.heartbeat import Heartbeat
from scheduler.health.lead import Lead
from scheduler.health.liveness import LivenessFile
from scheduler.health.outage import Outages


class Vitals:
    """The vitals show others that this scheduler is alive, and keep it the leader."""

    def __init__(self, context: Context, holder: str) -> None:
        """`holder` is unique for this start of the process: an earlier one's lead is not ours."""
        settings, clocks = context.settings, context.clocks
        self.outages = Outages(settings, context.alerts, clocks.wall)
        self.lead = Lead(context.store, holder, settings.lease_s, clocks.monotonic)
        self.heartbeat = Heartbeat(self.lead, self.outages, settings.poll_interval_s, clocks.wall)
        self.liveness = LivenessFile(settings.heartbeat_file)

    def keep_alive(self) -> None:
        """Renew lead and liveness between two steps; raises StaleLeader if the lead is lost."""
        self.liveness.touch()
        self.lead.keep()

    def renew(self) -> None:
        """Renew lead and liveness during a pause, and repeat a reported problem."""
        self.liveness.touch()
        try:
            self.lead.renew()
            self.heartbeat.repeat_problem()
        except StoreUnavailable:
            pass  # the next cycle meets it, counts it and reports it
