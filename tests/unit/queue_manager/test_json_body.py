"""Hostile bodies get a clear 4xx, never a 500, and nothing is written."""

import json
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BODY = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
RIGHT = json.dumps(BODY)

HOSTILE = {
    "empty": (b"", 400, "not JSON"),
    "no JSON": (b"user=user1", 400, "not JSON"),
    "cut": (RIGHT[:-1].encode(), 400, "not JSON"),
    "more behind": (RIGHT.encode() + b"{}", 400, "not JSON"),
    "array": (f"[{RIGHT}]".encode(), 400, "must be a JSON object"),
    "null": (b"null", 400, "must be a JSON object"),
    "text": (b'"user1"', 400, "must be a JSON object"),
    "mark": (b"\xef\xbb\xbf" + RIGHT.encode(), 400, "byte order mark"),
    "utf-16": (RIGHT.encode("utf-16"), 400, "not UTF-8"),
    "broken utf-8": (b'{"user": "\xff"}', 400, "not UTF-8"),
    "twice": (
        b'{"user": "a", "user": "b", "config": "c.yaml", "workdir": "/data/a"}',
        400,
        "the key 'user' twice",
    ),
    "twice inside": (b'{"config": {"a": 1, "a": 2}}', 400, "the key 'a' twice"),
    "NaN": (b'{"gpus": NaN}', 400, "no NaN"),
    "Infinity": (b'{"gpus": -Infinity}', 400, "no -Infinity"),
    "overflow": (b'{"gpus": 1e999}', 400, "too large"),
    "digits": (b'{"gpus": ' + b"9" * 10_000 + b"}", 400, "too many digits"),
    "deep arrays": (b'{"config": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "deeper than 64"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400, "deeper than 64"),
    "65 levels": (b'{"a":' * 65 + b"1" + b"}" * 65, 400, "deeper than 64"),
    "surrogate": (b'{"user": "\\ud800"}', 400, "half a surrogate pair"),
    "surrogate key": (b'{"\\udfff": 1}', 400, "half a surrogate pair"),
    "large": (b'{"name": "' + b"x" * 10_000_000 + b'"}', 413, "larger than 1024 KiB"),
    "many keys": (
        json.dumps({f"k{n}": n for n in range(50_000)}).encode(),
        400,
        "more than 2000 values",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies(client: FlaskClient, raw_redis: "redis.Redis", name: str) -> None:
    data, code, says = HOSTILE[name]
    answer = client.post("/submit", data=data, content_type="application/json")
    assert answer.status_code == code
    assert answer.content_type == "application/problem+json"
    assert answer.json
    assert says in answer.json["error"]
    assert len(answer.data) < 4096
    assert raw_redis.keys("*") == []


def test_64_levels_are_accepted(client: FlaskClient) -> None:
    body = b'{"a":' * 64 + b"1" + b"}" * 64
    answer = client.post("/submit", data=body, content_type="application/json")
    assert answer.json
    assert answer.json["error"] == "Missing user"


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_another_content_type_is_415(client: FlaskClient, content_type: str | None) -> None:
    answer = client.post("/submit", data=RIGHT, content_type=content_type)
    assert answer.status_code == 415
    assert answer.json
    assert "application/json" in answer.json["error"]


def test_a_charset_after_the_content_type_is_accepted(client: FlaskClient) -> None:
    assert (
        client.post(
            "/submit", data=RIGHT, content_type="application/json; charset=utf-8"
        ).status_code
        == 202
    )


VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ["user", "config", "workdir", "name", "gpus", "time_limit_s", "workflow", "dry_run"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changed=st.dictionaries(
        st.sampled_from(FIELDS) | st.text(max_size=8), VALUES, min_size=1, max_size=4
    )
)
def test_any_fields_are_accepted_or_refused(client: FlaskClient, changed: dict[str, Any]) -> None:
    answer = client.post("/submit", json={**BODY, **changed})
    assert answer.status_code in (200, 202, 400, 429)
    if answer.status_code == 400:
        assert answer.json
        assert answer.json["error"]
        assert answer.json["errors"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.binary(max_size=200)
    | st.text(alphabet='{}[]:,"\\u0de8NaIf- 1e+.', max_size=60).map(str.encode)
)
def test_random_bytes_are_refused(client: FlaskClient, data: bytes) -> None:
    answer = client.post("/submit", data=data, content_type="application/json")
    assert answer.status_code == 400


PATHS = st.sampled_from(["/status/{}", "/jobs/{}", "/jobs/{}/logs", "/jobs/{}/metrics", "/{}"])
QUERIES = st.dictionaries(
    st.sampled_from(["limit", "cursor", "user", "status", "since", "tail", "follow", "x"]),
    st.text(max_size=20),
    max_size=3,
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=PATHS,
    part=st.text(max_size=20),
    query=QUERIES,
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
)
def test_random_paths_and_queries_are_never_500(
    client: FlaskClient, path: str, part: str, query: dict[str, str], method: str
) -> None:
    # The test client would read what follows // as a host, and ? as the query.
    url = path.format(part.replace("?", "").lstrip("/\\"))
    with client.open(url, query_string=query, method=method) as answer:
        assert answer.status_code < 500


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(["/queue", "/jobs"]), query=QUERIES)
def test_random_queries_of_a_list_are_never_500(
    client: FlaskClient, path: str, query: dict[str, str]
) -> None:
    assert client.get(path, query_string=query).status_code in (200, 400)
