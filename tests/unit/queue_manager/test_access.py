"""Every call of the API as nobody, as another user, as the user and as an admin."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import redis
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
from queue_manager.openapi.calls import CALLS
from queue_manager.openapi.document import openapi_document
from queue_manager.requests import access
from queue_manager.requests.page_guard import check_page
from queue_manager.settings import QueueManagerSettings

BODY = {"user": "ann", "config": "config.yaml", "workdir": "/data/ann"}

OPEN, ALL, OWN = "open", "all", "own"
#: Who may make each call. `OWN`: the job's user and admins.
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
    """Tokens by name: ann and bob are users, root is an admin."""
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
    """Send a request as `who`: `ask(who, method, path)`."""

    def asked(who: str, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {tokens[who]}"} if who in tokens else {}
        return app.test_client().open(path, method=method, headers=headers, **options)

    return asked


@pytest.fixture
def job_id(ask: Callable[..., TestResponse]) -> str:
    """The id of a job of ann."""
    return str(ask("ann", "POST", "/submit", json=BODY).json["job_id"])  # type: ignore[index]


def calls_of(app: Flask) -> list[tuple[str, str]]:
    rules = list(app.url_map.iter_rules())
    return [
        (method, rule.rule)
        for rule in rules
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
    ]


def expected(whom_for: str, who: str) -> int | None:
    """Return 401, 403, or None if the call is allowed."""
    if whom_for == OPEN:
        return None
    if who == "nobody":
        return 401
    return 403 if whom_for == OWN and who == "bob" else None


# -- the matrix ----------------------------------------------------------------------------------


def test_no_call_is_forgotten(app: Flask) -> None:
    assert sorted(FOR) == sorted(calls_of(app))


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("call", FOR, ids=" ".join)
def test_each_caller_is_allowed_or_refused(
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
def test_other_methods_do_not_avoid_the_check(
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


SECRET = "no such file: /data/ann/secret.pkl"
ENDED = "The training ended with exit code 1."


@pytest.fixture
def running(store: Store, leader: Leader, job_id: str) -> str:
    """The same job, admitted."""
    leader.admit(store.job(job_id), NOW, Start("gpu-1", (), "w", "Admitted."), SlotLimits(1, 1))
    return job_id


def reasons_seen(ask: Callable[..., TestResponse]) -> dict[str, Any]:
    """The reason of ann's job as each caller gets it."""
    answers = {who: ask(who, "GET", "/status/ann") for who in ("ann", "bob", "root")}
    assert "secret" not in answers["bob"].text
    assert "secret" not in ask("bob", "GET", "/queue").text
    return {who: answer.json["reason"] for who, answer in answers.items()}  # type: ignore[index]


def test_a_quoted_log_line_is_for_the_jobs_user_and_admins(
    ask: Callable[..., TestResponse], leader: Leader, running: str
) -> None:
    reason = Reason(ReasonCode.TRAINING_FAILED, ENDED, SECRET)
    leader.finish(running, NOW, Outcome(Phase.FAILED, reason, Result(exit_code=1)))
    seen = reasons_seen(ask)
    assert seen["ann"] == seen["root"] == reason.to_dict()
    assert seen["bob"] == {"code": "training_failed", "message": ENDED, "detail": ""}


def test_a_log_line_in_a_message_of_an_earlier_version_is_hidden_too(
    ask: Callable[..., TestResponse], raw_redis: "redis.Redis", leader: Leader, running: str
) -> None:
    reason = Reason(ReasonCode.TRAINING_FAILED, ENDED, SECRET)
    leader.finish(running, NOW, Outcome(Phase.FAILED, reason, Result(exit_code=1)))
    raw_redis.hset(f"job:{running}", "reason_message", f"{ENDED.rstrip('.')}: {SECRET}")
    raw_redis.hdel(f"job:{running}", "reason_detail")
    seen = reasons_seen(ask)
    assert seen["ann"] == seen["root"] == reason.to_dict()
    assert seen["bob"] == {"code": "training_failed", "message": ENDED, "detail": ""}


def test_a_dry_run_needs_the_same_rights_as_a_submission(ask: Callable[..., TestResponse]) -> None:
    body = {**BODY, "dry_run": True}
    statuses = [ask(who, "POST", "/submit", json=body).status_code for who in WHO]
    assert statuses == [401, 403, 200, 200]


def test_a_new_route_is_for_admins_by_default(ask: Callable[..., TestResponse], app: Flask) -> None:
    app.add_url_rule("/new", "new", lambda: "new")
    assert [ask(who, "GET", "/new").status_code for who in WHO] == [401, 403, 403, 200]


def test_the_description_marks_the_open_calls() -> None:
    paths = openapi_document("1", "")["paths"]
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


# -- records -------------------------------------------------------------------------------------


def test_a_user_lists_their_own_jobs_and_an_admin_all(
    ask: Callable[..., TestResponse], job_id: str
) -> None:
    bobs = ask("bob", "POST", "/submit", json={**BODY, "user": "bob", "workdir": "/data/bob"}).json[
        "job_id"
    ]  # type: ignore[index]

    def listed(who: str, **query: str) -> list[str]:
        page = ask(who, "GET", "/jobs", query_string=query).json
        assert page is not None
        return [job["job_id"] for job in page["jobs"]]

    assert listed("ann") == listed("ann", user="ann") == [job_id]
    assert listed("bob") == [bobs]
    assert sorted(listed("root")) == sorted([job_id, bobs])
    assert listed("root", user="ann") == [job_id]


def test_pages_contain_only_the_callers_jobs(
    ask: Callable[..., TestResponse], job_id: str, clock: FakeClock
) -> None:
    clock.now += 1
    ask("ann", "POST", "/submit", json=BODY)
    first = ask("ann", "GET", "/jobs", query_string={"limit": 1}).json
    assert first is not None
    anns, bobs = ask("ann", "GET", first["next"]).json, ask("bob", "GET", first["next"]).json
    assert anns is not None
    assert [job["job_id"] for job in anns["jobs"]] == [job_id]
    assert bobs is not None
    assert bobs["jobs"] == []


@pytest.mark.parametrize(
    "path", ["/jobs/ann_20200101000000", "/jobs/nonsense", "/jobs/ann_1/logs", "/nowhere"]
)
def test_an_unknown_path_is_404_for_everybody_with_a_token(
    ask: Callable[..., TestResponse], path: str
) -> None:
    assert [ask(who, "GET", path).status_code for who in WHO] == [401, 404, 404, 404]


def test_a_403_names_who_is_allowed(ask: Callable[..., TestResponse], job_id: str) -> None:
    said = ask("bob", "GET", f"/jobs/{job_id}").json["detail"]  # type: ignore[index]
    assert said == (
        f"Job {job_id} belongs to ann and this token to bob; only ann and admins may do that."
    )


# -- the token -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "says", "challenge"),
    [
        (None, "needs an access token", "Bearer"),
        ("", "not of the form Bearer", "Bearer"),
        ("Basic YW5uOmFubg==", "not of the form Bearer", "Bearer"),
        ("Bearer", "not of the form Bearer", "Bearer"),
        ("Bearer   ", "not of the form Bearer", "Bearer"),
        ("Bearer gpuq_wrong", "This token is unknown", 'Bearer error="invalid_token"'),
        ("Bearer gpuq_\xff\xfe", "This token is unknown", 'Bearer error="invalid_token"'),
        ("Bearer " + "x" * 8000, "This token is unknown", 'Bearer error="invalid_token"'),
    ],
)
def test_a_401_names_the_error_and_the_remedy(
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


def test_the_scheme_is_case_insensitive(app: Flask, tokens: Mapping[str, str]) -> None:
    for header in (f"bearer {tokens['ann']}", f"BEARER   {tokens['ann']} "):
        assert app.test_client().get("/queue", headers={"Authorization": header}).status_code == 200


def test_a_token_expires(app: Flask, store: Store, clock: FakeClock) -> None:
    headers = {"Authorization": f"Bearer {add(store, 'ann', expires_at=NOW + 60)}"}
    clock.now = NOW + 59
    assert app.test_client().get("/queue", headers=headers).status_code == 200
    clock.now = NOW + 60
    answer = app.test_client().get("/queue", headers=headers)
    assert answer.status_code == 401
    assert "of ann has expired" in answer.json["detail"]  # type: ignore[index]


def test_a_revoked_token_is_refused_at_once(
    ask: Callable[..., TestResponse], store: Store, tokens: Mapping[str, str]
) -> None:
    assert ask("ann", "GET", "/queue").status_code == 200
    store.remove_tokens([digest_of(tokens["ann"])])
    assert ask("ann", "GET", "/queue").status_code == 401


def test_following_a_log_ends_when_the_token_is_revoked(
    app: Flask, store: Store, tokens: Mapping[str, str], clock: FakeClock
) -> None:
    with app.test_request_context("/queue", headers={"Authorization": f"Bearer {tokens['ann']}"}):
        access.check_access()
        is_valid = access.still_valid(app.extensions["gpuq"])
    assert is_valid()
    store.remove_tokens([digest_of(tokens["ann"])])
    assert not is_valid()


def test_an_unreachable_redis_lets_nobody_in(
    settings: QueueManagerSettings, clock: FakeClock
) -> None:
    unreachable = Store.connect("redis://127.0.0.1:1/0", timeout_s=0.2)
    client = create_app(
        settings.model_copy(update={"auth": "token"}), unreachable, clock
    ).test_client()
    answer = client.get(
        "/configs", headers={"Authorization": "Bearer gpuq_x"}
    )  # this call itself needs no Redis
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert client.get("/healthz").status_code == 200


def test_an_unreadable_token_record_lets_nobody_in(app: Flask, raw_redis) -> None:
    raw_redis.hset("tokens", digest_of("gpuq_x"), json.dumps({"user": "ann", "role": "god"}))
    assert (
        app.test_client().get("/configs", headers={"Authorization": "Bearer gpuq_x"}).status_code
        == 500
    )


def test_with_auth_off_everybody_is_believed(client: FlaskClient) -> None:
    answer = client.post("/submit", json=BODY)
    assert answer.status_code == 202
    assert client.delete(f"/jobs/{answer.json['job_id']}").status_code == 200  # type: ignore[index]


# -- web pages of other origins (AUTH=off) -------------------------------------------------------


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
def test_only_hosts_of_this_machine_pass(host: str | None, passes: bool) -> None:
    assert is_let_in("GET", host, None) is passes


@pytest.mark.parametrize(
    ("method", "host", "origin", "passes"),
    [
        ("POST", "localhost:8081", None, True),  # curl
        ("POST", "localhost:8081", "http://localhost:8081", True),  # /docs
        ("DELETE", "localhost", "http://LOCALHOST", True),
        # The browser does not show the answer to that page.
        ("GET", "localhost:8081", "http://evil.example", True),
        ("POST", "localhost:8081", "http://evil.example", False),
        ("POST", "localhost:8081", "http://localhost:3000", False),
        ("POST", "localhost:8081", "null", False),
        ("DELETE", "localhost:8081", "http://[", False),
        ("POST", None, "null", False),
    ],
)
def test_a_page_of_another_origin_changes_nothing(
    method: str, host: str | None, origin: str, passes: bool
) -> None:
    assert is_let_in(method, host, origin) is passes


def is_let_in(method: str, host: str | None, origin: str | None) -> bool:
    try:
        check_page(method, host, origin, "gpu-1")
    except Problem as problem:
        return not (problem.status == 403 and "AUTH=token" in problem.detail)
    return True


def test_every_call_checks_the_host(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    for method, rule in calls_of(app):
        path = rule.replace("<job_id>", "a").replace("<user>", "ann").replace("<name>", "start.js")
        answer = app.test_client().open(path, method=method, headers={"Host": "evil.example"})
        assert answer.status_code == 403, (method, rule)


def test_with_tokens_any_host_and_origin_is_allowed(
    ask: Callable[..., TestResponse], app: Flask, tokens: Any
) -> None:
    headers = {
        "Authorization": f"Bearer {tokens['ann']}",
        "Host": "gpuq.lab",
        "Origin": "https://portal.lab",
    }
    assert app.test_client().post("/submit", json=BODY, headers=headers).status_code == 202
