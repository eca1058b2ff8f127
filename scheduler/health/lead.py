"""This module owns the lead over the queue: the lease, its epoch and its renewal."""

from collections.abc import Callable

from jobqueue.errors import StaleLeader
from jobqueue.failpoints import failpoint
from jobqueue.service.log import get_logger
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader

log = get_logger(__name__)


class Lead:
    """This process' lead, if it has one.

    The thread that runs the cycle renews the lease: a cycle that hangs must lose the lead.
    """

    def __init__(
        self, store: Store, holder: str, lease_s: float, monotonic: Callable[[], float]
    ) -> None:
        """`holder` is unique for this start of the process: an earlier one's lead is not ours."""
        self.holder = holder
        self.is_new = False  #: whether the last `take` began a new lead
        self.leader: Leader | None = None
        self._store = store
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._renewed_at = 0.0

    def take(self) -> Leader | None:
        """Become or stay the leader; return None while another scheduler leads."""
        before = self.leader
        self.leader = self._ask()
        self.is_new = self.leader is not None and (
            before is None or before.epoch != self.leader.epoch
        )
        if self.leader is not None and self.is_new:
            failpoint("scheduler.lead.after")
            log.info("Became leader.", epoch=self.leader.epoch, holder=self.holder)
        return self.leader

    def keep(self) -> None:
        """Renew the lease in time, between two steps; raises StaleLeader if it is lost."""
        if self.leader is None or self._monotonic() - self._renewed_at < self._lease_s / 3:
            return
        self.renew()
        if self.leader is None:
            raise StaleLeader("The lease was lost in the middle of a cycle, which is abandoned.")

    def renew(self) -> None:
        """Renew the lease. Another epoch is another lead, which the next cycle begins."""
        if self.leader is None:
            return
        renewed = self._ask()
        is_ours = renewed is not None and renewed.epoch == self.leader.epoch
        self.leader = renewed if is_ours else None

    def lost(self) -> None:
        """Forget the lead."""
        self.leader = None

    def resign(self) -> None:
        """Give the lease back, so that a standby need not wait until it expires."""
        Leader.resign(self._store, self.holder)

    def _ask(self) -> Leader | None:
        leader = Leader.lead(self._store, self.holder, self._lease_s)
        self._renewed_at = self._monotonic()
        return leader
