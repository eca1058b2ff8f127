"""`gpuq admin token` against a real Valkey, and how the client sends its token."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.testbed.fakes import NOW
from gpuq.errors import GpuqFailure
from gpuq.remote.client import Client
from gpuq.remote.token_file import read_token
from gpuq.up.first_token import make_first_token
from jobqueue.store.client import Store
from jobqueue.tokens import PREFIX, Role, digest_of

QUEUE = {"length": 0, "jobs": [], "running": []}


@pytest.fixture(autouse=True)
def _no_token_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPUQ_TOKEN", raising=False)


@pytest.fixture
def admin(
    gpuq: Callable[..., Any], store: Store, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Run `gpuq admin token …` on an empty Redis."""
    monkeypatch.setenv("REDIS_URL", valkey_url)
    return lambda *words: gpuq("admin", "token", *words)


# -- admin ---------------------------------------------------------------------------------------


def test_create_prints_only_the_token_on_stdout(admin: Callable[..., Any], store: Store) -> None:
    ran = admin("create", "--user", "ann", "--role", "admin", "--expires", "90d", "--label", "CI")
    assert ran.code == 0
    assert re.fullmatch(rf"{PREFIX}[\w-]{{43}}\n", ran.out)
    (token,) = store.tokens()
    assert token.digest == digest_of(ran.out.strip())
    assert (token.user, token.role, token.label) == ("ann", Role.ADMIN, "CI")
    assert token.expires_at == pytest.approx(token.created_at + 90 * 24 * 3600, abs=0.01)
    assert token.id in ran.err
    assert PREFIX not in ran.err


def test_by_default_a_token_is_a_users_and_never_expires(
    admin: Callable[..., Any], store: Store
) -> None:
    admin("create", "--user", "ann")
    (token,) = store.tokens()
    assert (token.role, token.expires_at) == (Role.USER, None)


def test_the_third_token_of_a_user_is_refused(admin: Callable[..., Any]) -> None:
    admin("create", "--user", "ann")
    admin("create", "--user", "ann")
    ran = admin("create", "--user", "ann")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("ann has 2 valid tokens, which is the limit; revoke one first: ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--user", "Ann"], "must be 1 to 28 of a-z"),
        (["--user", "datasets"], "reserved"),
        (["--user", "ann", "--role", "god"], "'god' is not one of 'user', 'admin'"),
        (["--user", "ann", "--expires", "0d"], "must be more than 0 and at most ten years"),
        (["--user", "ann", "--expires", "4000d"], "must be more than 0 and at most ten years"),
        (["--user", "ann", "--expires", "soon"], "not a duration"),
        ([], "--user"),
    ],
)
def test_invalid_options_of_create_are_refused(
    admin: Callable[..., Any], store: Store, words: list[str], says: str
) -> None:
    ran = admin("create", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert store.tokens() == []


def test_list_shows_users_and_never_the_token(admin: Callable[..., Any], store: Store) -> None:
    assert admin("list").err.startswith("There are no tokens;")
    secrets = [
        admin("create", "--user", user, "--expires", "1h").out.strip() for user in ("bob", "ann")
    ]
    ran = admin("list")
    heads, *rows = ran.out.splitlines()
    assert heads.split() == ["ID", "USER", "ROLE", "CREATED", "EXPIRES", "LABEL"]
    assert [row.split()[:3] for row in rows] == [
        [token.id, token.user, "user"] for token in store.tokens()
    ]
    assert [row.split()[1] for row in rows] == ["ann", "bob"]
    assert not any(secret in ran.out for secret in secrets)


def test_revoke_removes_one_token_or_all_of_a_user(admin: Callable[..., Any], store: Store) -> None:
    for user in ("ann", "ann", "bob", "bob"):
        admin("create", "--user", user)
    first = store.tokens()[0]
    assert admin("revoke", first.id).code == 0
    assert [token.user for token in store.tokens()] == ["ann", "bob", "bob"]
    assert admin("revoke", "--user", "bob").code == 0
    assert [token.user for token in store.tokens()] == ["ann"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["abc"], 4, "There is no token abc."),
        (["--user", "bob"], 4, "bob has no token."),
        ([], 2, "Name the token's ID"),
        (["abc", "--user", "bob"], 2, "Name the token's ID"),
    ],
)
def test_invalid_options_of_revoke_are_refused(
    admin: Callable[..., Any], words: list[str], code: int, says: str
) -> None:
    ran = admin("revoke", *words)
    assert ran.code == code
    assert says in ran.err


def test_an_unreachable_redis_is_reported_in_one_sentence(
    admin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    for words in (["create", "--user", "ann"], ["list"], ["revoke", "abc"]):
        ran = admin(*words)
        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("Redis cannot be reached")


def test_the_first_token_is_an_admins_and_is_made_once(store: Store, valkey_url: str) -> None:
    secret = make_first_token(valkey_url, NOW)
    assert secret is not None
    (token,) = store.tokens()
    assert (token.digest, token.user, token.role) == (digest_of(secret), "admin", Role.ADMIN)
    assert make_first_token(valkey_url, NOW + 1) is None


# -- client --------------------------------------------------------------------------------------


def test_the_token_of_the_environment_is_sent(
    gpuq: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET /queue?limit=100", QUEUE)
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_mine\n")
    assert gpuq("queue").code == 0
    assert server.asked[-1].headers["Authorization"] == "Bearer gpuq_mine"


def test_the_file_takes_precedence_over_the_environment(
    gpuq: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.on("GET /queue?limit=100", QUEUE)
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_mine")
    (tmp_path / "token").write_text("gpuq_other\n")
    assert gpuq("--token-file", str(tmp_path / "token"), "queue").code == 0
    assert server.asked[-1].headers["Authorization"] == "Bearer gpuq_other"


def test_without_a_token_none_is_sent(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("GET /queue?limit=100", QUEUE)
    gpuq("queue")
    assert "Authorization" not in server.asked[-1].headers


def test_netrc_does_not_replace_the_token(
    server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.on("GET /queue?limit=1", QUEUE)
    client = Client(server.url, token="gpuq_mine")
    client._session.trust_env = True  # as for a server elsewhere
    client.queue(1)
    assert server.asked[-1].headers["Authorization"] == "Bearer gpuq_mine"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_exit_code_5_with_the_servers_sentence(
    gpuq: Callable[..., Any], server: Any, status: int
) -> None:
    server.refuse("GET /queue?limit=100", status, "This call needs an access token: ask an admin.")
    ran = gpuq("queue")
    assert (ran.code, ran.err) == (5, "This call needs an access token: ask an admin.\n")


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"two words", b"two\nlines", b"caf\xc3\xa9", b"\xff"]
)
def test_a_file_without_a_token_is_reported_without_its_content(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(
        GpuqFailure, match=r"/token does not contain a token: it must be the one line"
    ) as failure:
        read_token(tmp_path / "token")
    assert "two" not in str(failure.value)


def test_a_missing_file_is_reported(gpuq: Callable[..., Any], tmp_path: Path) -> None:
    ran = gpuq("--token-file", str(tmp_path / "none"), "queue")
    assert (ran.code, ran.err) == (
        1,
        f"--token-file {tmp_path}/none cannot be read (No such file or directory).\n",
    )
