"""The loop of one scheduler process: cycles, pauses, and how failed cycles are handled."""

import random
import threading
from dataclasses import replace

from jobqueue.errors import StaleLeader, StoreUnavailable
from jobqueue.service.log import get_logger
from scheduler.context import Context
from scheduler.cycle import Cycle
from scheduler.decide.report import HURRY_PAUSE_S, CycleReport, next_pause
from scheduler.engines.contract import EngineError
from scheduler.health.create_backoff import LONGEST_RETRY_AFTER_S
from scheduler.health.waker import Waker
from scheduler.vitals import Vitals

log = get_logger(__name__)

#: How long the pause between retries of a failing engine may grow (s).
LONGEST_BACKOFF_S = 60.0
_MOST_DOUBLINGS = 6  # a larger power is never used, and after many hours would overflow
#: The longest silence of the liveness file during a pause (s).
LONGEST_SILENCE_S = 15.0
_RESUMES = "scheduling resumes automatically. Running jobs are not affected."


class Scheduler:
    """One scheduler process. `run` repeats cycles until `stopping` is set."""

    def __init__(self, context: Context, holder: str) -> None:
        """`holder` is unique for this start of the process."""
        self.stopping = threading.Event()
        self.vitals = Vitals(context, holder)
        self.waker = Waker(context.store, context.engines, self.stopping)
        context.engines.keep_alive_with(self.vitals.keep_alive)
        self._context = replace(context, keep_alive=self.vitals.keep_alive)
        self._settings = context.settings
        self._cycle = Cycle(self._context, self.vitals)
        self._logged: tuple[object, ...] = ()  # the news that the log has already

    def run(self) -> None:
        """Run cycles until `stopping` is set; no error in a cycle ends the loop."""
        self.waker.start()
        self.vitals.liveness.touch()
        full = True
        while not self.stopping.is_set():
            pause_s = self.guarded_cycle(full)
            full = self.pause(pause_s) or pause_s != HURRY_PAUSE_S
        try:
            self.vitals.lead.resign()
        except StoreUnavailable:
            pass  # the lease expires by itself

    def run_cycle(self, full: bool = True) -> CycleReport:
        """Run one cycle; see `Cycle.run`."""
        return self._cycle.run(full)

    def guarded_cycle(self, full: bool = True) -> float:
        """Run one cycle, whatever happens; return how long to pause after it (s)."""
        try:
            report = self.run_cycle(full)
        except StoreUnavailable as error:
            return self._redis_failed(error)
        except StaleLeader as error:
            return self._lead_lost(error)
        except EngineError as error:
            return self._engine_failed(error)
        except Exception as error:  # the loop outlives whatever a cycle meets
            log.exception("The cycle failed with an unexpected error.")
            return self._cycle_failed(error)
        self.vitals.outages.redis.recovered()
        if report.news != self._logged:
            log.info(report.summary)
        self._logged = report.news
        return next_pause(report, self._settings.poll_interval_s)

    def pause(self, pause_s: float) -> bool:
        """Wait until woken or `pause_s` is over, and stay the leader; return whether woken."""
        monotonic = self._context.clocks.monotonic
        until = monotonic() + pause_s
        self.vitals.liveness.touch()
        while (left := until - monotonic()) > 0 and not self.stopping.is_set():
            if self.waker.wait(min(left, self._settings.lease_s / 3, LONGEST_SILENCE_S)):
                return True
            self.vitals.renew()
        return False

    # -- failures --------------------------------------------------------------------------------

    def _redis_failed(self, error: StoreUnavailable) -> float:
        self.vitals.lead.lost()
        outage = self.vitals.outages.redis
        log.warning("Redis is unavailable.", error=str(error), attempt=outage.failures + 1)
        outage.failed(str(error), f"Fix Redis; {_RESUMES}")
        return self._settings.redis_retry_delay_s

    def _lead_lost(self, error: StaleLeader) -> float:
        self.vitals.lead.lost()
        log.warning("Lost the lead.", error=str(error))
        return HURRY_PAUSE_S

    def _engine_failed(self, error: EngineError) -> float:
        outage = self.vitals.outages.engine
        log.warning("The engine failed.", error=str(error), attempt=outage.failures + 1)
        outage.failed(str(error), f"Fix the engine; {_RESUMES}")
        self.vitals.heartbeat.write_problem(str(error))
        backoff = min(2.0 ** min(outage.failures - 1, _MOST_DOUBLINGS), LONGEST_BACKOFF_S)
        requested = min(error.retry_after_s or 0, LONGEST_RETRY_AFTER_S)
        return max(backoff * random.uniform(0.5, 1), requested)

    def _cycle_failed(self, error: Exception) -> float:
        what = f"{type(error).__name__}: {error}"
        title = f"A scheduling cycle failed ({what}); no job starts until one succeeds."
        self._context.alerts.once(title, "Check the scheduler's log, and report the bug.")
        self.vitals.heartbeat.write_problem(title)
        return self._settings.poll_interval_s
