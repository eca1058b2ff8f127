"""GET /metrics, sample by sample."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from devtools.testbed.fakes import NOW, FakeClock, make_node
from jobqueue.clock import rfc3339
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader
from queue_manager import create_app
from queue_manager.settings import QueueManagerSettings


def samples(client: FlaskClient) -> dict[str, float]:
    """Return the samples as `name{label=value}` -> value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.get_data(as_text=True))
    return {
        sample.name
        + "".join(
            f"{{{label}={value}}}" for label, value in sorted(sample.labels.items())
        ): sample.value
        for family in families
        for sample in family.samples
    }


def test_an_empty_queue(client: FlaskClient) -> None:
    assert samples(client) == {
        "gpuq_jobs{status=queued}": 0,
        "gpuq_jobs{status=admitted}": 0,
        "gpuq_jobs{status=running}": 0,
        "gpuq_jobs_finished_total{status=succeeded}": 0,
        "gpuq_jobs_finished_total{status=failed}": 0,
        "gpuq_jobs_finished_total{status=cancelled}": 0,
        "gpuq_queue_length": 0,
        "gpuq_oldest_queued_age_seconds": 0,
        "gpuq_scheduler_halted": 0,
        "gpuq_quarantine_length": 0,
    }


def test_the_metrics_show_what_is_in_redis(
    client: FlaskClient,
    submit: Callable[..., Any],
    admit: Callable[..., None],
    leader: Leader,
    clock: FakeClock,
    raw_redis: "redis.Redis",
) -> None:
    ids = [submit().json["job_id"] for _ in range(5)]
    client.delete(f"/jobs/{ids[4]}")
    admit(ids[0])
    admit(ids[1], running=False)
    raw_redis.rpush("quarantine", "{}")
    node = make_node(gpus=2, busy=(1,)).snapshot
    assert node
    said = {"at": rfc3339(NOW), "snapshot": node.encode(), "error": None}
    unreachable = {"at": rfc3339(NOW), "snapshot": None, "error": "unreachable"}
    heartbeat = {
        "at": rfc3339(NOW),
        "poll_interval_s": 10,
        "halted": {"since": rfc3339(NOW), "why": "w"},
    }
    leader.observe(heartbeat, {"gpu-1": said, "gpu-2": unreachable})
    clock.tick(90)
    found = samples(client)
    assert (
        found.items()
        >= {
            "gpuq_jobs{status=queued}": 2,
            "gpuq_jobs{status=admitted}": 1,
            "gpuq_jobs{status=running}": 1,
            "gpuq_jobs_finished_total{status=cancelled}": 1,
            "gpuq_jobs_finished_total{status=failed}": 0,
            "gpuq_queue_length": 2,
            "gpuq_oldest_queued_age_seconds": 90,
            "gpuq_scheduler_heartbeat_age_seconds": 90,
            "gpuq_scheduler_halted": 1,
            "gpuq_quarantine_length": 1,
            "gpuq_node_available{node=gpu-1}": 1,
            "gpuq_node_available{node=gpu-2}": 0,
            "gpuq_node_report_age_seconds{node=gpu-2}": 90,
            "gpuq_gpu_available{gpu=0}{node=gpu-1}": 1,
            "gpuq_gpu_available{gpu=1}{node=gpu-1}": 0,
            "gpuq_gpu_utilization_percent{gpu=0}{node=gpu-1}": 3,
            "gpuq_gpu_memory_used_bytes{gpu=0}{node=gpu-1}": 1000 * 2**20,
        }.items()
    )
    output = client.get("/metrics").get_data(as_text=True)
    assert "user1" not in output


@pytest.mark.parametrize(
    "said",
    [
        {"at": rfc3339(NOW), "snapshot": {"from": "another version"}, "error": None},
        {"at": rfc3339(NOW)},
        {"at": "yesterday", "snapshot": None},
        {},
    ],
)
def test_a_node_with_an_unreadable_report_is_not_available(
    client: FlaskClient, raw_redis: "redis.Redis", said: dict[str, Any]
) -> None:
    raw_redis.hset("nodes", "gpu-1", json.dumps(said))
    raw_redis.hset("nodes", "gpu-2", "no JSON")
    assert samples(client)["gpuq_node_available{node=gpu-2}"] == 0
    assert samples(client)["gpuq_node_available{node=gpu-1}"] == 0


def test_a_node_name_is_escaped(client: FlaskClient, raw_redis: "redis.Redis") -> None:
    raw_redis.hset("nodes", 'a"\n\\b', json.dumps({"at": rfc3339(NOW), "snapshot": None}))
    assert 'gpuq_node_available{node=a"\n\\b}' in samples(client)


def test_an_unreachable_redis_is_503(settings: QueueManagerSettings) -> None:
    answer = (
        create_app(settings, Store.connect("redis://127.0.0.1:1/0")).test_client().get("/metrics")
    )
    assert answer.status_code == 503
    assert answer.content_type == "application/problem+json"
