"""Provide one whole system for all faults; each test kills a part and starts it again."""

from collections.abc import Iterator

import pytest

from devtools.testbed.system import System, running_system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("faults") / "system"
    with running_system(
        folder, POLL_INTERVAL_S="0.5", WORKFLOW_RETENTION_S="1", REDIS_RETRY_DELAY_S="0.5"
    ) as system:
        yield system
