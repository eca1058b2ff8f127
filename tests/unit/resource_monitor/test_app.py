"""The monitor's HTTP: what each path answers, and that an error is a problem and never a trace-back."""

import json

import pytest
from flask.testing import FlaskClient

from jobqueue.resources import NodeSnapshot
from resource_monitor.app import build
from resource_monitor.reading import GpuReading, GpuReport, HostReading, Sample
from resource_monitor.settings import Settings

NOW = 1000.0


class FakeSampler:
    """Two samples: a busy GPU 5 s ago, an idle one since."""

    def __init__(self) -> None:
        host = HostReading(45.0, (2.1, 1.9, 1.7), 12288, 32768, 37.5)
        self.trouble: str | None = None
        self.samples = tuple(
            Sample(NOW - age_s, 0.5, host, GpuReport((GpuReading(0, "GPU-a", "H100", 2048, 10240, 8192, busy),)))
            for age_s, busy in [(5.0, 99), (0.9, 7), (0.4, 7)]
        )


class BrokenSampler:
    trouble: str | None = None

    @property
    def samples(self) -> tuple[Sample, ...]:
        raise RuntimeError("secret detail")


@pytest.fixture
def client() -> FlaskClient:
    return build(FakeSampler(), Settings(node_name="gpu-1"), clock=lambda: NOW).test_client()


def test_status_is_the_document_of_the_design(client: FlaskClient) -> None:
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


def test_thresholds_print_as_they_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPU_PERCENT", "off")
    monkeypatch.setenv("MEMORY_PERCENT", "85.5")
    text = build(FakeSampler(), Settings(), clock=lambda: NOW).test_client().get("/status").text
    assert '"cpu_percent":"off"' in text
    assert '"gpu_utilization_percent":80,' in text
    assert '"memory_percent":85.5}' in text


def test_the_window_is_ten_seconds_unless_asked(client: FlaskClient) -> None:
    assert not client.get("/status").get_json()["available"]
    assert not client.get("/status?window_s=10").get_json()["available"]
    assert client.get("/status?window_s=4.9").get_json()["available"]


@pytest.mark.parametrize("window_s", ["0", "-1", "10.01", "11", "nan", "inf", "", "ten", "1e999"])
def test_a_window_out_of_range_is_a_problem(client: FlaskClient, window_s: str) -> None:
    response = client.get(f"/status?window_s={window_s}")
    problem = json.loads(response.data)
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert (problem["status"], problem["title"], problem["instance"]) == (400, "Bad Request", "/status")
    assert problem["detail"] == problem["error"]
    assert "window_s must be" in problem["detail"]


def test_unknown_paths_and_methods_are_problems(client: FlaskClient) -> None:
    missing, wrong = client.get("/nope"), client.post("/status")
    assert (missing.status_code, missing.content_type) == (404, "application/problem+json")
    assert "/status" in missing.get_json()["detail"]
    assert (wrong.status_code, wrong.content_type) == (405, "application/problem+json")
    assert "GET" in wrong.headers["Allow"]


def test_an_error_of_our_own_shows_no_insides() -> None:
    client = build(BrokenSampler(), Settings()).test_client()
    response = client.get("/status")
    assert (response.status_code, response.content_type) == (500, "application/problem+json")
    assert b"secret" not in response.data
    assert client.get("/healthz").status_code == 200
