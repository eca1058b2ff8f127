"""/openapi.json against the routes, the standard and real answers; and the page at /docs."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from devtools.testbed.fakes import NOW, FakeClock, make_node
from jobqueue.job import Result
from jobqueue.phase import Phase as JobPhase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.leader import Leader, Outcome
from queue_manager.openapi.calls import CALLS

BODY = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def on_valkey() -> bool:
    """Run on a real server: /readyz needs INFO and CONFIG."""
    return True


@pytest.fixture
def spec(client: FlaskClient) -> dict[str, Any]:
    return dict(client.get("/openapi.json").json or {})


def test_every_route_is_described_and_every_description_is_a_route(
    make_app: Callable[..., Flask],
) -> None:
    routes = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in make_app().url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    assert routes == set(CALLS)


def test_it_is_openapi_3_1(spec: dict[str, Any]) -> None:
    assert spec["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(spec).validate()


def test_the_server_has_the_proxys_prefix(client: FlaskClient) -> None:
    answer = client.get("/openapi.json", environ_overrides={"SCRIPT_NAME": "/gpuq"}).json
    assert answer
    assert answer["servers"] == [{"url": "/gpuq"}]


# -- real answers --------------------------------------------------------------------------------


def test_real_answers_are_as_described(
    client: FlaskClient, spec: dict[str, Any], admit: Callable[..., None], leader: Leader
) -> None:
    """Make each call at least once, while there are jobs in every phase."""
    answers = [client.post("/submit", json=BODY).json or {} for _ in range(4)]
    ids = [answer["job_id"] for answer in answers]
    for job_id in ids[:3]:
        admit(job_id)
    for job_id, phase in ((ids[0], JobPhase.SUCCEEDED), (ids[1], JobPhase.FAILED)):
        leader.finish(
            job_id,
            NOW,
            Outcome(
                phase, Reason(ReasonCode.SUCCEEDED, "Ended."), Result(0, ("a line",)), run_time_s=60
            ),
        )
    node = make_node().snapshot
    assert node
    said = {"at": "2026-11-18T11:06:40.000Z", "snapshot": node.encode(), "error": None}
    unreachable = {"at": "2026-11-18T11:06:40.000Z", "snapshot": None, "error": "unreachable"}
    leader.observe(
        {"at": "2026-11-18T11:06:40.000Z", "poll_interval_s": 10, "halted": None},
        {"a": said, "b": unreachable},
    )
    dry = {**BODY, "dry_run": True}
    requests: list[tuple[str, str, dict[str, Any] | None, int]] = [
        ("GET", "/status/user1", None, 200),
        ("GET", "/status/nobody", None, 200),
        ("GET", "/queue", None, 200),
        ("GET", "/queue?limit=1", None, 200),
        ("GET", "/jobs", None, 200),
        ("GET", "/jobs?limit=1", None, 200),
        *[("GET", f"/jobs/{job_id}", None, 200) for job_id in ids],
        ("GET", f"/jobs/{ids[0]}/logs", None, 200),
        ("GET", f"/jobs/{ids[0]}/metrics", None, 200),
        ("GET", "/nodes", None, 200),
        ("GET", "/configs", None, 200),
        ("GET", "/workflows", None, 200),
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz", None, 200),
        ("GET", "/version", None, 200),
        ("GET", "/metrics", None, 200),
        ("POST", "/submit", BODY, 202),
        ("POST", "/submit", dry, 200),
        ("POST", "/submit", {}, 400),
        ("POST", f"/jobs/{ids[1]}/retry", None, 202),
        ("POST", f"/jobs/{ids[0]}/retry", None, 409),
        ("DELETE", f"/jobs/{ids[3]}", None, 200),
        ("DELETE", f"/jobs/{ids[2]}", None, 200),
        ("GET", "/jobs/none", None, 404),
        ("GET", "/docs", None, 200),
        ("GET", "/docs/start.js", None, 200),
        ("GET", "/docs/none.js", None, 404),
        ("GET", "/openapi.json", None, 200),
    ]
    seen = set()
    for method, path, body, status in requests:
        answer = client.open(path, method=method, json=body)
        assert answer.status_code == status, (path, answer.get_data(as_text=True))
        seen.add(assert_described(spec, method, path.partition("?")[0], answer))
    assert seen == set(CALLS)


def assert_described(spec: dict[str, Any], method: str, path: str, answer: Any) -> tuple[str, str]:
    """Check status, content type and body against the description; returns the call."""
    templates = {template: re.sub(r"{\w+}", "[^/]+", template) for _, template in CALLS}
    template = next(
        found for found, pattern in sorted(templates.items()) if re.fullmatch(pattern, path)
    )
    content = spec["paths"][template][method.lower()]["responses"][str(answer.status_code)][
        "content"
    ]
    schema = {**content[answer.mimetype]["schema"], "components": spec["components"]}
    if answer.is_json:
        Draft202012Validator(schema).validate(answer.json)
    return method, template


# -- generated requests --------------------------------------------------------------------------


@pytest.fixture
def described(make_app: Callable[..., Flask], working: None, clock: FakeClock) -> Any:
    """The API without any job: waits and follows take no time."""
    return schemathesis.openapi.from_wsgi("/openapi.json", make_app(max_queued_per_user=3))


@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"]
)
@pytest.mark.parametrize(("method", "path"), sorted(CALLS))
def test_generated_requests_are_answered_as_described(
    described: Any, method: str, path: str, mode: GenerationMode
) -> None:
    try:
        cases = described[path][method].as_strategy(generation_mode=mode)
        send_all(cases)
    except Unsatisfiable:  # a call without parameters cannot be called wrongly
        assert mode == GenerationMode.NEGATIVE


def send_all(cases: Any) -> None:
    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS)

    send()


# -- the page ------------------------------------------------------------------------------------


def test_the_page_needs_no_other_host(client: FlaskClient) -> None:
    page = client.get("/docs")
    text = page.get_data(as_text=True)
    assert "//" not in text
    assert "validatorUrl: null" in client.get("/docs/start.js").get_data(as_text=True)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'; ")
    assets = re.findall(r'(?:src|href)="(docs/[^"]+)"', text)
    assert len(assets) == 4
    for asset in assets:
        answer = client.get(f"/{asset}")
        assert answer.status_code == 200
        assert not re.search(rb"@import|url\(['\"]?(https?:)?//", answer.data[:400_000])


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fplugins.py", "oauth2-redirect.html", "css"])
def test_the_page_has_no_other_files(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404
