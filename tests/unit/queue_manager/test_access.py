"""Who may ask for what: every call of the API x nobody, another user, the user, an admin."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from devtools.testbed.fakes import NOW, FakeClock
from jobqueue.job import Result
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.store.client import Store
from jobqueue.store.leader import Leader, Outcome, SlotLimits, Start
from jobqueue.tokens import Role, Token, digest_of, new_secret
from queue_manager import create_app
from queue_manager.http.problems import Problem
from queue_manager.openapi.calls import CALLS, description
from queue_manager.requests import access
from queue_manager.settings import QueueManagerSettings

BODY = {"user": "ann", "config": "config.yaml", "workdir": "/data/ann"}

OPEN, ALL, OWN = "open", "all", "own"
#: Whom each call is for. `OWN`: the user's and the admins'.
FOR = {
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/version"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/docs/<name>"): OPEN,
    ("GET", "/queue"): ALL,
    ("GET", "/status/<user>"): ALL,
    ("GET", "/nodes"): ALL,
    ("GET", "/configs"): ALL,
    ("GET", "/workflows"): ALL,
    ("GET", "/metrics"): ALL,
    ("POST", "/submit"): OWN,
    ("GET", "/jobs"): OWN,
    ("GET", "/jobs/<job_id>"): OWN,
    ("DELETE", "/jobs/<job_id>"): OWN,
    ("POST", "/jobs/<job_id>/retry"): OWN,
    ("GET", "/jobs/<job_id>/logs"): OWN,
    ("GET", "/jobs/<job_id>/metrics"): OWN,
}
WHO = ("nobody", "bob", "ann", "root")


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(auth="token")


@pytest.fixture
def tokens(store: Store) -> dict[str, str]:
    """name -> token: ann and bob are users, root is an admin."""
    return {
        name: add(store, name, Role.ADMIN if name == "root" else Role.USER)
        for name in ("ann", "bob", "root")
    }


def add(store: Store, user: str, role: Role = Role.USER, expires_at: float | None = None) -> str:
    secret = new_secret()
    store.add_token(Token(digest_of(secret), user, role, NOW, expires_at))
    return secret


@pytest.fixture
def ask(app: Flask, tokens: Mapping[str, str]) -> Callable[..., TestResponse]:
    """`ask(who, method, path)`"""

    def asked(who: str, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who in tokens else {}
        return app.test_client().open(path, method=method, headers=headers, **options)

    return asked


@pytest.fixture
def job_id(ask: Callable[..., TestResponse]) -> str:
    """A job of ann's."""
    return str(ask("ann", "POST", "/submit", json=BODY).json["job_id"])  # type: ignore[index]


def calls_of(app: Flask) -> list[tuple[str, str]]:
    rules = list(app.url_map.iter_rules())
    return [
        (method, rule.rule)
        for rule in rules
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
    ]


def expected(whom_for: str, who: str) -> int | None:
    """401, 403, or None: let in."""
    if whom_for == OPEN:
        return None
    if who == "nobody":
        return 401
    return 403 if whom_for == OWN and who == "bob" else None


# -- the matrix ----------------------------------------------------------------------------------------------------


def test_no_call_is_forgotten(app: Flask) -> None:
    assert sorted(FOR) == sorted(calls_of(app))


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("call", FOR, ids=" ".join)
def test_who_may(
    ask: Callable[..., TestResponse], job_id: str, call: tuple[str, str], who: str
) -> None:
    method, rule = call
    path = rule.replace("<job_id>", job_id).replace("<user>", "ann").replace("<name>", "start.js")
    body = {"json": BODY} if rule == "/submit" else {}
    query = {"user": "ann"} if rule == "/jobs" else {}
    answer = ask(who, method, path, query_string=query, **body)
    refused = answer.status_code if answer.status_code in (401, 403) else None
    assert refused == expected(FOR[call], who), answer.text
    if refused:
        assert answer.content_type == "application/problem+json"
        assert answer.json["detail"].endswith(".")  # type: ignore[index]
        assert answer.headers.get("WWW-Authenticate") == ("Bearer" if refused == 401 else None)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_no_other_method_is_a_way_round(
    ask: Callable[..., TestResponse], job_id: str, method: str
) -> None:
    assert ask("nobody", method, f"/jobs/{job_id}").status_code == 401
    assert ask("bob", method, f"/jobs/{job_id}").status_code == 403


def test_a_refused_call_changes_nothing(
    ask: Callable[..., TestResponse], store: Store, job_id: str
) -> None:
    ask("bob", "DELETE", f"/jobs/{job_id}")
    ask("bob", "POST", "/submit", json=BODY)
    ask("bob", "POST", "/submit", json={**BODY, "dry_run": True})
    assert (store.job(job_id).phase, store.queue_length()) == ("queued", 1)


def test_a_line_of_a_log_is_for_whom_the_log_is(
    ask: Callable[..., TestResponse], store: Store, leader: Leader, job_id: str
) -> None:
    leader.admit(store.job(job_id), NOW, Start("gpu-1", (), "w", ""), SlotLimits(1, 1))
    said = "The training ended with exit code 1: no such file: /data/ann/secret.pkl"
    leader.finish(
        job_id,
        NOW,
        Outcome(Phase.FAILED, Reason(ReasonCode.TRAINING_FAILED, said), Result(exit_code=1)),
    )
    shown = {
        who: ask(who, "GET", "/status/ann").json["reason"]["message"]
        for who in ("ann", "bob", "root")
    }  # type: ignore[index]
    assert shown == {"ann": said, "bob": "The training ended with exit code 1.", "root": said}
    assert "secret" not in ask("bob", "GET", "/status/ann").text


def test_a_dry_run_is_as_a_submission(ask: Callable[..., TestResponse]) -> None:
    body = {**BODY, "dry_run": True}
    statuses = [ask(who, "POST", "/submit", json=body).status_code for who in WHO]
    assert statuses == [401, 403, 200, 200]


def test_a_new_route_is_for_admins_until_somebody_says_otherwise(
    ask: Callable[..., TestResponse], app: Flask
) -> None:
    app.add_url_rule("/new", "new", lambda: "new")
    assert [ask(who, "GET", "/new").status_code for who in WHO] == [401, 403, 403, 200]


def test_the_description_says_which_calls_are_open() -> None:
    paths = description("1", "")["paths"]
    said = {
        (method, path)
        for method, path in CALLS
        if paths[path][method.lower()].get("security") == []
    }
    assert said == {
        (method, path.replace("<", "{").replace(">", "}"))
        for (method, path), whom in FOR.items()
        if whom == OPEN
    }


# -- records -------------------------------------------------------------------------------------------------------


def test_a_user_lists_her_own_and_an_admin_all(
    ask: Callable[..., TestResponse], job_id: str
) -> None:
    bobs = ask("bob", "POST", "/submit", json={**BODY, "user": "bob", "workdir": "/data/bob"}).json[
        "job_id"
    ]  # type: ignore[index]

    def listed(who: str, **query: str) -> list[str]:
        return [job["job_id"] for job in ask(who, "GET", "/jobs", query_string=query).json["jobs"]]  # type: ignore[index]

    assert listed("ann") == listed("ann", user="ann") == [job_id]
    assert listed("bob") == [bobs]
    assert sorted(listed("root")) == sorted([job_id, bobs])
    assert listed("root", user="ann") == [job_id]


def test_pages_stay_ones_own(
    ask: Callable[..., TestResponse], job_id: str, clock: FakeClock
) -> None:
    clock.now += 1
    ask("ann", "POST", "/submit", json=BODY)
    first = ask("ann", "GET", "/jobs", query_string={"limit": 1}).json
    assert first is not None
    assert [job["job_id"] for job in ask("ann", "GET", first["next"]).json["jobs"]] == [job_id]  # type: ignore[index]
    assert ask("bob", "GET", first["next"]).json["jobs"] == []  # type: ignore[index]


@pytest.mark.parametrize(
    "path", ["/jobs/ann_20200101000000", "/jobs/nonsense", "/jobs/ann_1/logs", "/nowhere"]
)
def test_what_is_not_there_is_404_for_all_who_hold_a_token(
    ask: Callable[..., TestResponse], path: str
) -> None:
    assert [ask(who, "GET", path).status_code for who in WHO] == [401, 404, 404, 404]


def test_the_403_says_who_may(ask: Callable[..., TestResponse], job_id: str) -> None:
    said = ask("bob", "GET", f"/jobs/{job_id}").json["detail"]  # type: ignore[index]
    assert (
        said == f"Job {job_id} is ann's and this token is bob's: only ann and admins may do that."
    )


# -- the token -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "says", "challenge"),
    [
        (None, "needs an access token", "Bearer"),
        ("", "not of the kind Bearer", "Bearer"),
        ("Basic YW5uOmFubg==", "not of the kind Bearer", "Bearer"),
        ("Bearer", "not of the kind Bearer", "Bearer"),
        ("Bearer   ", "not of the kind Bearer", "Bearer"),
        ("Bearer gpuq_wrong", "not known here", 'Bearer error="invalid_token"'),
        ("Bearer gpuq_\xff\xfe", "not known here", 'Bearer error="invalid_token"'),
        ("Bearer " + "x" * 8000, "not known here", 'Bearer error="invalid_token"'),
    ],
)
def test_the_401_says_what_is_wrong_and_how_to_get_one(
    app: Flask, header: str | None, says: str, challenge: str
) -> None:
    answer = app.test_client().get(
        "/queue", headers={} if header is None else {"Authorization": header}
    )
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, challenge)
    assert answer.json is not None
    assert says in answer.json["detail"]
    assert "gpuq admin token create --user" in answer.json["detail"]
    assert "wrong" not in answer.text.replace(
        "gpuq_wrong", "wrong"
    )  # what was sent is not repeated


def test_the_scheme_is_of_any_case(app: Flask, tokens: Mapping[str, str]) -> None:
    for header in (f"bearer {tokens['ann']}", f"BEARER   {tokens['ann']} "):
        assert app.test_client().get("/queue", headers={"Authorization": header}).status_code == 200


def test_it_expires_with_the_clock(app: Flask, store: Store, clock: FakeClock) -> None:
    headers = {"Authorization": f"Bearer {add(store, 'ann', expires_at=NOW + 60)}"}
    clock.now = NOW + 59
    assert app.test_client().get("/queue", headers=headers).status_code == 200
    clock.now = NOW + 60
    answer = app.test_client().get("/queue", headers=headers)
    assert answer.status_code == 401
    assert "of ann has expired" in answer.json["detail"]  # type: ignore[index]


def test_a_revoked_one_opens_nothing_from_then_on(
    ask: Callable[..., TestResponse], store: Store, tokens: Mapping[str, str]
) -> None:
    assert ask("ann", "GET", "/queue").status_code == 200
    store.remove_tokens([digest_of(tokens["ann"])])
    assert ask("ann", "GET", "/queue").status_code == 401


def test_a_log_is_followed_no_longer_than_the_token_is_valid(
    app: Flask, store: Store, tokens: Mapping[str, str], clock: FakeClock
) -> None:
    with app.test_request_context("/queue", headers={"Authorization": f"Bearer {tokens['ann']}"}):
        access.check_access()
        is_valid = access.still_valid(app.extensions["gpuq"])
    assert is_valid()
    store.remove_tokens([digest_of(tokens["ann"])])
    assert not is_valid()


def test_while_redis_is_away_nobody_comes_in(
    settings: QueueManagerSettings, clock: FakeClock
) -> None:
    away = Store.connect("redis://127.0.0.1:1/0", timeout_s=0.2)
    client = create_app(settings.model_copy(update={"auth": "token"}), away, clock).test_client()
    answer = client.get(
        "/configs", headers={"Authorization": "Bearer gpuq_x"}
    )  # which needs no Redis itself
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert client.get("/healthz").status_code == 200


def test_a_record_that_cannot_be_read_lets_nobody_in(app: Flask, raw_redis) -> None:
    raw_redis.hset("tokens", digest_of("gpuq_x"), json.dumps({"user": "ann", "role": "god"}))
    assert (
        app.test_client().get("/configs", headers={"Authorization": "Bearer gpuq_x"}).status_code
        == 500
    )


def test_without_tokens_everybody_is_believed(client: FlaskClient) -> None:
    answer = client.post("/submit", json=BODY)
    assert answer.status_code == 202
    assert client.delete(f"/jobs/{answer.json['job_id']}").status_code == 200  # type: ignore[index]


# -- foreign web pages (AUTH=off) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("127.0.0.1:8081", True),
        ("localhost", True),
        ("LOCALHOST:9000", True),  # ssh -L
        ("[::1]:8081", True),
        ("127.8.9.1", True),
        ("gpu-1:8081", True),  # QUEUE_MANAGER_HOST
        (None, True),  # HTTP/1.0, which no browser speaks
        ("evil.example", False),
        ("evil.example:8081", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@localhost.evil", False),
        ("192.168.1.5", False),
        ("", False),
        ("[", False),
    ],
)
def test_host_is_one_of_this_machine(host: str | None, passes: bool) -> None:
    assert is_let_in("GET", host, None) is passes


@pytest.mark.parametrize(
    ("method", "host", "origin", "passes"),
    [
        ("POST", "localhost:8081", None, True),  # curl
        ("POST", "localhost:8081", "http://localhost:8081", True),  # /docs
        ("DELETE", "localhost", "http://LOCALHOST", True),
        (
            "GET",
            "localhost:8081",
            "http://evil.example",
            True,
        ),  # the browser does not show it the answer
        ("POST", "localhost:8081", "http://evil.example", False),
        ("POST", "localhost:8081", "http://localhost:3000", False),
        ("POST", "localhost:8081", "null", False),
        ("DELETE", "localhost:8081", "http://[", False),
        ("POST", None, "null", False),
    ],
)
def test_a_page_changes_only_what_is_its_own(
    method: str, host: str | None, origin: str, passes: bool
) -> None:
    assert is_let_in(method, host, origin) is passes


def is_let_in(method: str, host: str | None, origin: str | None) -> bool:
    try:
        access.check_page(method, host, origin, "gpu-1")
    except Problem as problem:
        return not (problem.status == 403 and "AUTH=token" in problem.detail)
    return True


def test_the_guard_stands_before_every_call(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    for method, rule in calls_of(app):
        path = rule.replace("<job_id>", "a").replace("<user>", "ann").replace("<name>", "start.js")
        answer = app.test_client().open(path, method=method, headers={"Host": "evil.example"})
        assert answer.status_code == 403, (method, rule)


def test_with_tokens_any_host_and_origin_may_be(
    ask: Callable[..., TestResponse], app: Flask, tokens: Any
) -> None:
    headers = {
        "Authorization": f"Bearer {tokens['ann']}",
        "Host": "gpuq.lab",
        "Origin": "https://portal.lab",
    }
    assert app.test_client().post("/submit", json=BODY, headers=headers).status_code == 202
