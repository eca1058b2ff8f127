"""Hostile submissions: a clear 4xx after little work, and Redis stays as it was."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from devtools.testbed.kept import kept

BODY = {"user": "user1", "config": "config.yaml", "workdir": "/data/user1"}
#: Most take 1,500 calls; the largest body that is accepted as JSON takes 171,000.
MAX_CALLS = 250_000


def body(**fields: Any) -> bytes:
    return json.dumps({**BODY, **fields}).encode()


def nested(opening: str, closing: str, depth: int = 100_000) -> bytes:
    return f'{{"config": {opening * depth}{closing * depth}}}'.encode()


#: name -> body, status, part of the error
HOSTILE: dict[str, tuple[bytes, int, str]] = {
    "traversal in the workdir": (body(workdir="/data/user1/../../etc"), 400, "must not have .."),
    "traversal in the config": (body(config="../../etc/passwd.yaml"), 400, "must not have .."),
    "another's workdir": (body(workdir="/data/user2"), 400, "must be /data/user1"),
    "absolute config": (body(config="/etc/passwd.yaml"), 400, "relative path"),
    "config through a link": (
        body(config="out.yaml"),
        400,
        "symbolic link out of the config folder",
    ),
    "workdir through a link": (
        body(workdir="/data/user1/out/x"),
        400,
        "symbolic link that leads out",
    ),
    "control character": (body(workdir="/data/user1/a\x1b[2Jb"), 400, "control"),
    "new line": (body(name="a\nb"), 400, "control"),
    "nul": (body(config="a\x00.yaml"), 400, "control"),
    "bidi override": (body(name="a\u202eb"), 400, "bidirectional"),
    "bidi isolate": (body(workdir="/data/user1/\u2066x"), 400, "bidirectional"),
    "argo expression": (body(name="{{workflow.name}}"), 400, "must not have {{"),
    "argo expression in the workdir": (
        body(workdir="/data/user1/{{=sprig.env('HOME')}}"),
        400,
        "must not have {{",
    ),
    "yaml tag": (body(config="tag.yaml"), 400, "has a tag"),
    "yaml bomb": (body(config="bomb.yaml"), 400, "has an alias"),
    "yaml merge bomb": (body(config="merge.yaml"), 400, "has an alias"),
    "yaml depth": (body(config="deep.yaml"), 400, "nesting depth"),
    "10 MB": (body(name="x" * 10_000_000), 413, "larger than 1024 KiB"),
    "1 MB of name": (body(name="x" * 1_000_000), 400, "longer than 200 bytes"),
    "1 MB of config": (body(config={"a": "x" * 1_000_000}), 400, "256 KiB"),
    "deep arrays": (nested("[", "]"), 400, "deeper than 64"),
    "deep objects": (nested('{"a":', "}"), 400, "deeper than 64"),
    "deep and never closed": (b"[" * 100_000, 400, "deeper than 64"),
    "duplicate key": (b'{"user": "a", "user": "b"}', 400, "twice"),
    "duplicate key, escaped": (b'{"user": "a", "us\\u0065r": "b"}', 400, "twice"),
    "NaN": (b'{"gpus": NaN}', 400, "no NaN"),
    "lone surrogate": (b'{"user": "user1", "name": "\\ud83d"}', 400, "half a surrogate pair"),
    "byte order mark": (b"\xef\xbb\xbf" + body(), 400, "byte order mark"),
    "utf-16": (body().decode().encode("utf-16-le"), 400, "not JSON"),
    "array root": (json.dumps([BODY]).encode(), 400, "must be a JSON object"),
    "text root": (b'"user1"', 400, "must be a JSON object"),
    "list as user": (body(user=["user1"]), 400, "user: must be a text"),
    "object as workdir": (body(workdir={"a": 1}), 400, "workdir: must be a text"),
    "number as config": (body(config=1.5), 400, "must be a file name or an object"),
    "text as gpus": (body(gpus="2"), 400, "whole number"),
    "true as time limit": (body(time_limit_s=True), 400, "whole number"),
    "number as dry run": (body(dry_run=0), 400, "true or false"),
    "a number of 4,000 digits": (b'{"gpus": ' + b"9" * 4000 + b"}", 400, "Missing user"),
    "1,900 unknown keys": (body(**{f"k{n}": n for n in range(1900)}), 400, "unknown field"),
    "1,900 unknown keys in the config": (
        body(config={f"k{n}": n for n in range(1900)}),
        400,
        "unknown key",
    ),
    "1,900 short texts in the config": (body(config={"model": ["\u00e9: #"] * 1900}), 400, "model"),
    "1,900 empty lists in the config": (
        body(config={"data": {"ann_file": [[]] * 1900}}),
        400,
        "ann_file",
    ),
    "10,000 unknown keys": (
        body(**{f"k{n}": n for n in range(10_000)}),
        400,
        "more than 2000 values",
    ),
    "80,000 numbers in the config": (
        body(config={"data": [1] * 80_000}),
        400,
        "more than 2000 values",
    ),
    "300,000 empty lists": (
        b'{"config": [' + b"[]," * 300_000 + b"[]]}",
        400,
        "more than 2000 lists",
    ),
    "250,000 objects": (b'{"config": [' + b"{}," * 250_000 + b"{}]}", 400, "more than 2000 lists"),
}


@dataclass
class Work:
    """How much a block has done, whatever the speed of the machine."""

    calls: int = 0  #: calls of functions, Python's own in C among them


@contextmanager
def counted_calls() -> Iterator[Work]:
    """Count the calls that the block makes."""
    work = Work()

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        work.calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        yield work
    finally:
        sys.setprofile(None)


@pytest.fixture
def traps(folders: Path) -> None:
    """The files and links that the hostile bodies name."""
    configs, home = folders / "configs", folders / "data" / "user1"
    home.mkdir()
    (home / "out").symlink_to("/etc")
    (folders / "secret.yaml").write_text("a: 1\n")
    (configs / "out.yaml").symlink_to(folders / "secret.yaml")
    (configs / "tag.yaml").write_text("a: !!python/object/apply:os.system [id]\n")
    bomb = ["a0: &a0 [x, x]"] + [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)
    ]
    (configs / "bomb.yaml").write_text("\n".join(bomb))
    (configs / "merge.yaml").write_text(
        "a: &a {x: 1}\nb: {<<: [" + ", ".join(["*a"] * 10_000) + "]}\n"
    )
    (configs / "deep.yaml").write_text("a: " + "[" * 50_000 + "]" * 50_000)


@pytest.mark.usefixtures("traps")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_submission(client: FlaskClient, raw_redis: "redis.Redis", name: str) -> None:
    data, status, says = HOSTILE[name]
    client.post("/submit", json={**BODY, "user": "before", "workdir": "/data/before"})
    before = kept(raw_redis)
    with counted_calls() as work:
        answer = client.post("/submit", data=data, content_type="application/json")
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert answer.json
    assert says in answer.json["error"]
    assert len(answer.data) < 4096
    assert kept(raw_redis) == before
    assert work.calls < MAX_CALLS


def test_a_chunked_body_without_a_length(client: FlaskClient, raw_redis: "redis.Redis") -> None:
    """gunicorn passes such a body on without CONTENT_LENGTH, as a stream that ends."""
    for data, status in ((b" " * 3_000_000, 413), (b'{"user": ', 400)):
        answer = client.post(
            "/submit",
            input_stream=io.BytesIO(data),
            content_type="application/json",
            environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
        )
        assert answer.status_code == status
    assert kept(raw_redis) == {}


@pytest.mark.parametrize("on_valkey", [True])  # fakeredis does not count its commands
def test_many_submissions_beyond_the_cap(
    make_app: Callable[..., Flask], raw_redis: "redis.Redis"
) -> None:
    """Each refusal costs the same few Redis commands, however many came before."""
    client = make_app(max_queued_per_user=2).test_client()
    for _ in range(2):
        assert client.post("/submit", json=BODY).status_code == 202
    before, sent = kept(raw_redis), []
    for _ in range(1000):
        count = commands(raw_redis)
        assert client.post("/submit", json=BODY).status_code == 429
        sent.append(commands(raw_redis) - count)
    assert kept(raw_redis) == before
    assert set(sent) == {sent[0]}
    assert sent[0] <= 12


def commands(raw_redis: "redis.Redis") -> int:
    """Return how many commands Redis has executed, those of scripts included."""
    return sum(each["calls"] for each in raw_redis.info("commandstats").values())
