"""The monitor's HTTP interface: the answer of each path; an error never shows a traceback."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from jobqueue.resources import GpuProcess, NodeSnapshot
from resource_monitor.app import build
from resource_monitor.readings.reading import GpuReading, GpuReport, HostReading, Sample
from resource_monitor.settings import Settings
from scheduler.monitors import MAX_BYTES

NOW = 1000.0


class FakeSampler:
    """Three samples: the GPU was busy 5 s ago and has been idle since."""

    def __init__(self) -> None:
        host = HostReading(45.0, (2.1, 1.9, 1.7), 12288, 32768, 37.5)
        self.problem: str | None = None
        self.errors = {"gpu_lost": 3}
        self.samples = tuple(
            Sample(
                NOW - age_s,
                0.5,
                host,
                GpuReport((GpuReading(0, "GPU-a", "H100", 2048, 10240, 8192, busy),)),
            )
            for age_s, busy in [(5.0, 99), (0.9, 7), (0.4, 7)]
        )


class BrokenSampler:
    problem: str | None = None
    errors: Mapping[str, int] = {}

    @property
    def samples(self) -> tuple[Sample, ...]:
        raise RuntimeError("secret detail")


@pytest.fixture
def client() -> FlaskClient:
    return build(FakeSampler(), Settings(node_name="gpu-1"), clock=lambda: NOW).test_client()


def test_status_as_a_whole_document(client: FlaskClient) -> None:
    response = client.get("/status?window_s=1")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.get_json() == {
        "available": True,
        "node": "gpu-1",
        "age_s": 0.4,
        "reasons": [],
        "gpus": [
            {
                "index": 0,
                "uuid": "GPU-a",
                "name": "H100",
                "memory_used_mb": 2048,
                "memory_total_mb": 10240,
                "memory_free_mb": 8192,
                "utilization_percent": 7,
                "power_w": None,
                "temperature_c": None,
                "process_count": None,
                "available": True,
                "processes": None,
            }
        ],
        "cpu": {"usage_percent": 45.0, "load_average": [2.1, 1.9, 1.7]},
        "memory": {"used_mb": 12288, "total_mb": 32768, "usage_percent": 37.5},
        "thresholds": {
            "gpu_memory_free_mb": 200,
            "gpu_utilization_percent": 80,
            "cpu_percent": 90,
            "memory_percent": 85,
        },
    }
    assert NodeSnapshot.decode(response.data).node == "gpu-1"


def test_thresholds_are_shown_as_they_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPU_PERCENT", "off")
    monkeypatch.setenv("MEMORY_PERCENT", "85.5")
    text = build(FakeSampler(), Settings(), clock=lambda: NOW).test_client().get("/status").text
    assert '"cpu_percent":"off"' in text
    assert '"gpu_utilization_percent":80,' in text
    assert '"memory_percent":85.5}' in text


def test_the_window_is_ten_seconds_by_default(client: FlaskClient) -> None:
    assert not client.get("/status").get_json()["available"]
    assert not client.get("/status?window_s=10").get_json()["available"]
    assert client.get("/status?window_s=4.9").get_json()["available"]


@pytest.mark.parametrize("window_s", ["0", "-1", "10.01", "11", "nan", "inf", "", "ten", "1e999"])
def test_a_window_out_of_range_is_a_problem(client: FlaskClient, window_s: str) -> None:
    response = client.get(f"/status?window_s={window_s}")
    problem = json.loads(response.data)
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert (problem["status"], problem["title"], problem["instance"]) == (
        400,
        "Bad Request",
        "/status",
    )
    assert problem["detail"] == problem["error"]
    assert "window_s must be" in problem["detail"]


def test_unknown_paths_and_methods_are_problems(client: FlaskClient) -> None:
    missing, wrong = client.get("/nope"), client.post("/status")
    assert (missing.status_code, missing.content_type) == (404, "application/problem+json")
    assert "/status" in missing.get_json()["detail"]
    assert (wrong.status_code, wrong.content_type) == (405, "application/problem+json")
    assert "GET" in wrong.headers["Allow"]


def test_metrics_are_in_base_units_and_leave_out_what_is_unknown(client: FlaskClient) -> None:
    response = client.get("/metrics")
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    values = {
        sample.name: sample.value for family in families.values() for sample in family.samples
    }
    gpu = families["gpuq_monitor_gpu_memory_free_bytes"].samples[0]
    assert (gpu.labels, gpu.value) == ({"uuid": "GPU-a", "index": "0"}, 8192 * 2**20)
    assert values["gpuq_monitor_available"] == 0  # it was busy within the whole window
    assert values["gpuq_monitor_gpu_available"] == 0
    assert values["gpuq_monitor_gpu_utilization_ratio"] == pytest.approx(0.07)
    assert values["gpuq_monitor_cpu_usage_ratio"] == pytest.approx(0.45)
    assert values["gpuq_monitor_sample_age_seconds"] == 0.4
    assert values["gpuq_monitor_build_info"] == 1
    assert families["gpuq_monitor_sample_errors"].samples[0].labels == {"error": "gpu_lost"}
    assert values["gpuq_monitor_sample_errors_total"] == 3
    assert (
        families["gpuq_monitor_gpu_power_watts"].samples == []
    )  # an unknown number is absent, never 0
    assert all(name.startswith("gpuq_monitor_") for name in families)
    labels = {
        name for family in families.values() for sample in family.samples for name in sample.labels
    }
    assert labels == {"uuid", "index", "error", "version"}


def test_the_scheduler_can_read_the_answer_of_the_largest_node_with_the_most_processes() -> None:
    sampler = FakeSampler()
    processes = tuple(GpuProcess(4194304, 181559, "x" * 100) for _ in range(100))
    gpus = tuple(
        replace(
            gpu,
            index=index,
            uuid=f"GPU-{index:036d}",
            name="NVIDIA H100 80GB HBM3",
            processes=processes,
        )
        for index in range(16)
        for gpu in sampler.samples[-1].report.gpus
    )
    busy = tuple(
        replace(gpu, utilization_percent=93, memory_free_mb=100, process_count=100) for gpu in gpus
    )
    sampler.samples = tuple(replace(sample, report=GpuReport(busy)) for sample in sampler.samples)
    body = build(sampler, Settings(), clock=lambda: NOW).test_client().get("/status").data
    assert len(body) < MAX_BYTES
    assert [len(gpu.processes or ()) for gpu in NodeSnapshot.decode(body).gpus] == [32] * 16


def test_an_unexpected_error_shows_no_details() -> None:
    client = build(BrokenSampler(), Settings()).test_client()
    response = client.get("/status")
    assert (response.status_code, response.content_type) == (500, "application/problem+json")
    assert b"secret" not in response.data
    assert client.get("/healthz").status_code == 200
