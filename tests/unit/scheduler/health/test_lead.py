"""The lead: one owner of the lease, the epoch and the renewal."""

import pytest

from devtools.testbed.fakes import FakeClock
from jobqueue.errors import StaleLeader
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader
from scheduler.health.lead import Lead


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lead(store: Store, clock: FakeClock) -> Lead:
    return Lead(store, "me", 60, clock)


def test_it_is_new_once(lead: Lead) -> None:
    first = lead.take()
    assert first is not None
    assert lead.is_new
    second = lead.take()
    assert second is not None
    assert (second.epoch, lead.is_new) == (first.epoch, False)


def test_while_another_one_leads_there_is_none(lead: Lead, store: Store) -> None:
    Leader.lead(store, "other", 60)
    assert lead.take() is None
    assert not lead.is_new
    lead.renew()
    assert lead.leader is None


def test_it_is_renewed_after_a_third_of_the_lease(
    lead: Lead, store: Store, clock: FakeClock
) -> None:
    assert lead.take()
    Leader.resign(store, "me")
    Leader.lead(store, "other", 60)
    clock.tick(19)
    lead.keep()  # too early to notice
    clock.tick(1)
    with pytest.raises(StaleLeader):
        lead.keep()
    lead.keep()  # lost: there is nothing to keep
    assert lead.leader is None


def test_another_epoch_is_another_lead(lead: Lead, store: Store, clock: FakeClock) -> None:
    assert lead.take()
    Leader.resign(store, "me")  # it expires, and nobody takes it
    clock.tick(60)
    with pytest.raises(StaleLeader):
        lead.keep()
    assert lead.take()
    assert lead.is_new


def test_a_resigned_lead_is_free_at_once(lead: Lead, store: Store) -> None:
    assert lead.take()
    lead.resign()
    assert Leader.lead(store, "other", 60)
