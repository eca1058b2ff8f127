"""POST /submit: what is accepted and answered; a refused submission changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from devtools.testbed.fakes import NOW, FakeClock
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, Outcome

BODY = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
Submit = Callable[..., Any]


def test_the_example_of_the_founding_document(
    submit: Submit, raw_redis: "redis.Redis", folders: Path
) -> None:
    submit(user="a", workdir="/data/a")
    submit(user="b", workdir="/data/b")
    answer = submit()
    job_id = "user1_20261118110640"
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{job_id}"
    assert answer.json == {
        "status": "queued",
        "job_id": job_id,
        "position": 3,
        "estimated_wait": "unknown",
        "estimated_wait_s": None,
        "estimated_start_at": None,
        "links": {
            "job": f"/jobs/{job_id}",
            "logs": f"/jobs/{job_id}/logs",
            "metrics": f"/jobs/{job_id}/metrics",
        },
    }
    entry = json.loads(raw_redis.lrange("job_queue", 0, -1)[0])
    assert entry == {**BODY, "timestamp": "2026-11-18T11:06:40", "job_id": job_id, "v": 1}
    assert (
        raw_redis.hget(f"job:{job_id}", "config_text")
        == (folders / "configs" / "config.yaml").read_text()
    )


@pytest.mark.parametrize("empty", [None, "", "  "])
@pytest.mark.parametrize(
    ("without", "missing"),
    [
        (["user"], "user"),
        (["config"], "config"),
        (["workdir"], "workdir"),
        (["workdir", "config"], "config"),
        (["workdir", "config", "user"], "user"),
    ],
)
def test_missing_fields_in_order(
    submit: Submit, without: list[str], missing: str, empty: object
) -> None:
    answer = submit(**dict.fromkeys(without, empty))
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert answer.json["detail"] == answer.json["error"] == f"Missing {missing}"
    assert answer.json["errors"][0] == {"field": missing, "rule": "is required", "hint": ""}


def test_absent_fields_count_as_missing_before_anything_else(client: FlaskClient) -> None:
    answer = client.post("/submit", json={"usr": "user1"})
    assert answer.json
    assert answer.json["error"] == "Missing user"
    assert {"field": "usr", "rule": "unknown field", "hint": "did you mean user?"} in answer.json[
        "errors"
    ]


LONG = "x" * 29


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"user": "User1"}, "user", "1 to 28 of a-z"),
        ({"user": "user1\n"}, "user", "1 to 28 of a-z"),
        ({"user": "-a"}, "user", "1 to 28 of a-z"),
        ({"user": LONG, "workdir": f"/data/{LONG}"}, "user", "1 to 28 of a-z"),
        ({"user": "datasets", "workdir": "/data/datasets"}, "user", "reserved"),
        ({"user": 7}, "user", "must be a text"),
        ({"workdir": "/data/user2"}, "workdir", "must be /data/user1 or a folder below"),
        ({"workdir": "/data/user12"}, "workdir", "must be /data/user1 or a folder below"),
        ({"workdir": "/data/user1/../user2"}, "workdir", "must not have .."),
        ({"workdir": "/data/user1/"}, "workdir", "must be normalised: /data/user1"),
        ({"workdir": "//data/user1"}, "workdir", "must be normalised: /data/user1"),
        ({"workdir": "data/user1"}, "workdir", "must be /data/user1"),
        ({"workdir": "/data/user1/a\u202eb"}, "workdir", "bidirectional"),
        ({"workdir": "/data/user1/a\x00b"}, "workdir", "control"),
        ({"workdir": "/data/user1/{{workflow.name}}"}, "workdir", "must not have {{"),
        ({"workdir": "/data/user1/" + "a/" * 2100 + "a"}, "workdir", "4096 bytes"),
        ({"workdir": "/data/user1/" + "a" * 256}, "workdir", "255 bytes"),
        ({"workdir": ["/data/user1"]}, "workdir", "must be a text"),
        ({"config": "../config.yaml"}, "config", "must not have .."),
        ({"config": "/config/config.yaml"}, "config", "relative path"),
        ({"config": "config.txt"}, "config", "relative path"),
        ({"config": "./config.yaml"}, "config", "must be normalised: config.yaml"),
        ({"config": "a{{b.yaml"}, "config", "must not have {{"),
        (
            {"config": "confg.yaml"},
            "config",
            "there is no file confg.yaml in the config folder (did you mean config",
        ),
        ({"config": 3}, "config", "must be a file name or an object"),
        ({"name": "a\u200bb"}, "name", "invisible"),
        ({"name": "x" * 201}, "name", "200 bytes"),
        ({"gpus": True}, "gpus", "whole number from 1 to 64"),
        ({"gpus": 0}, "gpus", "whole number from 1 to 64"),
        ({"gpus": 65}, "gpus", "whole number from 1 to 64"),
        ({"gpus": 1.0}, "gpus", "whole number from 1 to 64"),
        ({"gpus": "1"}, "gpus", "whole number from 1 to 64"),
        ({"time_limit_s": 0}, "time_limit_s", "whole number of seconds"),
        ({"time_limit_s": 10**30}, "time_limit_s", "whole number of seconds"),
        (
            {"workflow": "proto-gnc"},
            "workflow",
            "there is no template proto-gnc; there is proto-gcn",
        ),
        ({"workflow": "../proto-gcn"}, "workflow", "there is no template"),
        ({"dry_run": 1}, "dry_run", "true or false"),
        ({"gpu": 2}, "gpu", "unknown field (did you mean gpus?)"),
        ({"x" * 500_000: 2}, "x" * 80 + "…", "unknown field"),
    ],
)
def test_bad_fields_name_the_field_and_the_rule(
    submit: Submit, raw_redis: "redis.Redis", fields: dict[str, Any], field: str, rule: str
) -> None:
    answer = submit(**fields)
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == field
    assert rule in answer.json["detail"]
    assert raw_redis.keys("*") == []


def test_all_bad_fields_are_reported_at_once(submit: Submit) -> None:
    answer = submit(user="A", gpus=0, colour="red")
    assert [found["field"] for found in answer.json["errors"]] == [
        "colour",
        "user",
        "workdir",
        "gpus",
    ]
    assert answer.json["detail"].endswith("(3 more to correct)")


def test_optional_fields_reach_the_record(submit: Submit, store: Store) -> None:
    answer = submit(
        name="Überlauf 7",
        gpus=2,
        time_limit_s=3600,
        workflow="other",
        config={"a": [1, 1e-05, "é"]},
    )
    spec = store.job(answer.json["job_id"]).spec
    assert (spec.name, spec.gpus, spec.time_limit_s, spec.workflow) == (
        "Überlauf 7",
        2,
        3600,
        "other",
    )
    assert (spec.config, spec.config_text) == ("config.yaml", "a:\n- 1\n- 1.0e-05\n- é\n")


def test_null_options_are_defaults(submit: Submit, store: Store) -> None:
    spec = store.job(
        submit(name=None, gpus=None, time_limit_s=None, workflow=None, dry_run=None).json["job_id"]
    ).spec
    assert (spec.name, spec.gpus, spec.time_limit_s, spec.workflow) == ("", 1, None, "proto-gcn")


def test_several_gpus_are_refused_without_a_gpu(make_app: Callable[..., Flask]) -> None:
    client = make_app(require_gpu=False).test_client()
    refused = client.post("/submit", json={**BODY, "gpus": 2})
    assert refused.status_code == 400
    assert refused.json
    assert "REQUIRE_GPU=false" in refused.json["error"]
    assert client.post("/submit", json={**BODY, "gpus": 1}).status_code == 202


@pytest.mark.parametrize(
    ("workdir", "code"),
    [("/data/shared/x", 202), ("/data", 202), ("/data/datasets/x", 400), ("/etc", 400)],
)
def test_workdir_anywhere_allows_all_of_data_except_the_data_sets(
    make_app: Callable[..., Flask], workdir: str, code: int
) -> None:
    client = make_app(workdir_anywhere=True).test_client()
    assert client.post("/submit", json={**BODY, "workdir": workdir}).status_code == code


def test_a_dry_run_answers_with_the_workflow_and_writes_nothing(
    submit: Submit, raw_redis: "redis.Redis"
) -> None:
    submit(user="a", workdir="/data/a")
    before = sorted(raw_redis.keys("*"))
    answer = submit(dry_run=True, gpus=2)
    assert answer.status_code == 200
    assert sorted(raw_redis.keys("*")) == before
    assert (answer.json["dry_run"], answer.json["position"]) == (True, 2)
    workflow = answer.json["workflow"]
    assert workflow["metadata"]["name"] == "proto-gcn-user1-20261118110640"
    container = workflow["spec"]["templates"][0]["container"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2


# -- idempotency ---------------------------------------------------------------------------------


def test_the_same_key_and_body_return_the_same_job(
    client: FlaskClient, submit: Submit, raw_redis: "redis.Redis"
) -> None:
    first = submit({"Idempotency-Key": "k1"})
    reordered = json.dumps(dict(reversed(BODY.items())), indent=2)
    headers = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
    second = client.post("/submit", data=reordered, headers=headers)
    assert second.status_code == 202
    assert second.json == first.json
    assert raw_redis.llen("job_queue") == 1


def test_the_same_key_with_another_body_is_a_conflict(
    submit: Submit, raw_redis: "redis.Redis"
) -> None:
    job_id = submit({"Idempotency-Key": "k1"}).json["job_id"]
    answer = submit({"Idempotency-Key": "k1"}, gpus=2)
    assert answer.status_code == 409
    assert job_id in answer.json["error"]
    assert raw_redis.llen("job_queue") == 1


def test_a_repeated_submission_returns_the_jobs_present_state(
    submit: Submit, admit: Callable[..., None], leader: Leader
) -> None:
    job_id = submit({"Idempotency-Key": "k1"}).json["job_id"]
    admit(job_id)
    running = submit({"Idempotency-Key": "k1"})
    assert (running.status_code, running.json["status"], running.json["position"]) == (
        202,
        "running",
        None,
    )
    leader.finish(
        job_id, NOW, Outcome(Phase.SUCCEEDED, Reason(ReasonCode.SUCCEEDED, "Done."), Result(0))
    )
    leader.trim(NOW + 1, 0)
    forgotten = submit({"Idempotency-Key": "k1"})
    assert forgotten.status_code == 409
    assert job_id in forgotten.json["error"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
def test_a_bad_key_is_refused(submit: Submit, key: str) -> None:
    answer = submit({"Idempotency-Key": key})
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"


# -- caps and estimates --------------------------------------------------------------------------


def test_caps_are_429_with_retry_after(make_app: Callable[..., Flask]) -> None:
    client = make_app(max_queued_per_user=1, max_queued=2).test_client()
    assert client.post("/submit", json=BODY).status_code == 202
    answer = client.post("/submit", json=BODY)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json
    assert "This user has 1 queued jobs" in answer.json["error"]
    assert (
        client.post("/submit", json={**BODY, "user": "b", "workdir": "/data/b"}).status_code == 202
    )
    full = client.post("/submit", json={**BODY, "user": "c", "workdir": "/data/c"})
    assert full.json
    assert "The queue holds 2 queued jobs" in full.json["error"]


@pytest.mark.usefixtures("working")
def test_the_wait_is_estimated_from_earlier_durations(
    submit: Submit, store: Store, admit: Callable[..., None], leader: Leader, clock: FakeClock
) -> None:
    learnt = submit().json["job_id"]
    admit(learnt)
    leader.finish(
        learnt,
        NOW,
        Outcome(Phase.SUCCEEDED, Reason(ReasonCode.SUCCEEDED, "Done."), Result(0), run_time_s=1800),
    )
    admit(submit().json["job_id"])
    clock.tick(900)
    submit(user="a", workdir="/data/a")
    answer = submit(user="b", workdir="/data/b").json
    assert (answer["position"], answer["estimated_wait"], answer["estimated_wait_s"]) == (
        2,
        "45 minutes",
        2700,
    )
    assert answer["estimated_start_at"] == "2026-11-18T12:06:40.000Z"


@pytest.mark.parametrize("query", ["dry_run=true", "foo=1"])
@pytest.mark.parametrize(
    "call",
    [
        "POST /submit",
        "DELETE /jobs/x",
        "POST /jobs/x/retry",
        "GET /healthz",
        "GET /readyz",
        "GET /version",
    ],
)
def test_an_unknown_parameter_is_refused_and_changes_nothing(
    client: FlaskClient, store: Store, call: str, query: str
) -> None:
    method, path = call.split()
    answer = client.open(f"{path}?{query}", method=method, json=BODY if path == "/submit" else None)
    assert answer.status_code == 400
    assert answer.json
    assert "unknown parameter" in answer.json["error"]
    assert store.queue_length() == 0


@pytest.mark.parametrize(
    "schema", [b"\xff", b"{", b'{"$ref": "#"}', b"[" * 100_000, b'{"type": "obj"}']
)
def test_a_broken_schema_is_503(client: FlaskClient, folders: Path, schema: bytes) -> None:
    (folders / "templates" / "proto-gcn.schema.json").write_bytes(schema)
    answer = client.post("/submit", json=BODY)
    assert answer.status_code == 503
    assert answer.json
    assert "schema" in answer.json["error"]
