"""The API's application over a real Valkey, with its own folders and a clock that tests move."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from devtools import ROOT
from devtools.testbed.fakes import NOW, FakeClock
from jobqueue.clock import rfc3339
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, SlotLimits, Start
from queue_manager import create_app
from queue_manager.settings import QueueManagerSettings

BODY = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """The shipped `templates` and `configs`, a template without a schema, and an empty `data`."""
    (tmp_path / "templates").mkdir()
    for shipped in ("proto-gcn-workflow.yaml", "proto-gcn.schema.json"):
        shutil.copy(ROOT / "workflows" / shipped, tmp_path / "templates")
    shutil.copy(
        ROOT / "workflows" / "proto-gcn-workflow.yaml",
        tmp_path / "templates" / "other-workflow.yaml",
    )
    shutil.copytree(ROOT / "workflows" / "configs", tmp_path / "configs")
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def on_valkey() -> bool:
    """Return whether the tests of a module need a real server; a module may override it.

    fakeredis has no INFO and no CONFIG, and takes no longer than a server on this machine.
    """
    return False


@pytest.fixture
def raw_redis(request: pytest.FixtureRequest, on_valkey: bool) -> Any:
    """Return a client of redis-py for an empty server."""
    if not on_valkey:
        return fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    client = redis.Redis.from_url(request.getfixturevalue("valkey_url"), decode_responses=True)
    client.flushall()
    return client


@pytest.fixture
def store(request: pytest.FixtureRequest, raw_redis: Any, on_valkey: bool) -> Store:
    """Return a store on the same server as `raw_redis`."""
    return Store.connect(request.getfixturevalue("valkey_url")) if on_valkey else Store(raw_redis)


@pytest.fixture
def settings(folders: Path) -> QueueManagerSettings:
    return QueueManagerSettings(
        data_root=folders / "data",
        config_root=folders / "configs",
        workflow_template=folders / "templates" / "proto-gcn-workflow.yaml",
        auth="off",
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_app(
    settings: QueueManagerSettings, store: Store, clock: FakeClock
) -> Callable[..., Flask]:
    """Build the application with changed settings; pauses move the clock, and nothing is cached."""
    return lambda **changed: create_app(
        settings.model_copy(update=changed), store, clock, clock.tick, 0
    )


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> FlaskClient:
    return make_app().test_client()


@pytest.fixture
def submit(client: FlaskClient) -> Callable[..., Any]:
    """Submit BODY with changed fields, and return the answer."""
    return lambda _headers=None, **fields: client.post(
        "/submit", json={**BODY, **fields}, headers=_headers
    )


@pytest.fixture
def leader(store: Store) -> Leader:
    """The queue's leader, as a scheduler has it."""
    lead = Leader.lead(store, "a test", 60)
    assert lead is not None
    return lead


@pytest.fixture
def working(leader: Leader) -> None:
    """Write the heartbeat of a scheduler that has just reported."""
    leader.observe({"at": rfc3339(NOW), "poll_interval_s": 10_000, "halted": None}, {})


@pytest.fixture
def admit(store: Store, leader: Leader, clock: FakeClock) -> Callable[..., None]:
    """Admit a job; with `running` also mark it as running."""

    def admitted(job_id: str, running: bool = True) -> None:
        leader.admit(
            store.job(job_id),
            clock.now,
            Start("gpu-1", ("GPU-0",), f"w-{job_id}", "Admitted on gpu-1."),
            SlotLimits(9, 9),
        )
        if running:
            leader.mark_running(job_id, clock.now, "Runs on gpu-1.")

    return admitted
