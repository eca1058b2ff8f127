"""Access tokens: what they are, what is kept of them, and that nobody has more than two."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from devtools.testbed.fakes import NOW
from jobqueue import errors
from jobqueue.store.client import Store
from jobqueue.tokens import PREFIX, Role, Token, digest_of, new_secret

DAY_S = 24 * 3600


def make_token(
    user: str = "ann", expires_at: float | None = None, created_at: float = NOW
) -> Token:
    return Token(digest_of(new_secret()), user, Role.USER, created_at, expires_at, "laptop")


def test_a_secret_is_256_bits_behind_a_prefix_and_never_the_same() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(secret.startswith(PREFIX) and len(secret) == len(PREFIX) + 43 for secret in secrets)


def test_the_digest_is_sha_256() -> None:
    assert digest_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    digest_of("\udcff")  # whatever a header holds


@pytest.mark.parametrize("expires_at", [None, NOW + DAY_S])
def test_a_record_is_read_as_it_was_written(expires_at: float | None) -> None:
    token = replace(make_token(expires_at=expires_at), role=Role.ADMIN)
    assert Token.decode(token.digest, token.encode()) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        '{"user": "ann"}',
        "{",
        make_token().encode().replace('"user",', '"root",'),
    ],
)
def test_what_cannot_be_read_is_not_a_token(text: str) -> None:
    with pytest.raises(errors.CorruptData, match="redis-cli hdel tokens abc"):
        Token.decode("abc", text)


def test_it_expires_at_the_very_second() -> None:
    token = make_token(expires_at=NOW + 1)
    assert not token.has_expired(NOW + 0.999)
    assert token.has_expired(NOW + 1)
    assert not make_token().has_expired(NOW * 2)


def test_who_may_act_as_whom() -> None:
    token = make_token("ann")
    assert (token.may_act_as("ann"), token.may_act_as("bob")) == (True, False)
    assert replace(token, role=Role.ADMIN).may_act_as("bob")


# -- in Redis --------------------------------------------------------------------------------


def test_only_the_hash_is_kept(store: Store, raw_redis) -> None:
    secret = new_secret()
    store.add_token(Token(digest_of(secret), "ann", Role.USER, NOW))
    kept = raw_redis.hgetall("tokens")
    assert list(kept) == [digest_of(secret)]
    assert secret.removeprefix(PREFIX) not in json.dumps(kept)


def test_the_third_valid_one_is_refused_until_one_goes(store: Store) -> None:
    first, second, third = (make_token() for _ in range(3))
    store.add_token(first)
    store.add_token(second)
    store.add_token(make_token("bob"))  # another user has a limit of their own
    with pytest.raises(
        errors.TooManyTokens, match=r"^ann has 2 valid tokens, .* gpuq admin token revoke ID"
    ):
        store.add_token(third)
    store.remove_tokens([first.digest])
    store.add_token(third)
    assert {token.digest for token in store.tokens() if token.user == "ann"} == {
        second.digest,
        third.digest,
    }


def test_an_expired_one_makes_room_and_goes(store: Store) -> None:
    old, lasting = make_token(expires_at=NOW + 1), make_token()
    store.add_token(old)
    store.add_token(lasting)
    with pytest.raises(errors.TooManyTokens):
        store.add_token(make_token(created_at=NOW + 0.9))
    new = make_token(created_at=NOW + 1)
    store.add_token(new)
    assert [token.digest for token in store.tokens()] == [lasting.digest, new.digest]


def test_of_many_at_once_two_win(store: Store) -> None:
    def add(_: int) -> bool:
        try:
            store.add_token(make_token())
        except errors.TooManyTokens:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(add, range(16))) == 2
    assert len(store.tokens()) == 2


def test_a_broken_record_keeps_nobody_from_a_new_token(store: Store, raw_redis) -> None:
    raw_redis.hset("tokens", mapping={"a": "{", "b": "[]", "c": "1"})
    store.add_token(make_token())
    assert raw_redis.hlen("tokens") == 4
    with pytest.raises(errors.CorruptData):
        store.tokens()


def test_a_token_and_a_jobs_owner_in_one_look(store: Store, raw_redis) -> None:
    token = make_token()
    store.add_token(token)
    raw_redis.hset("job:bob_1", "user", "bob")
    assert store.token_and_owner(token.digest, "bob_1") == (token, "bob")
    assert store.token_and_owner("other", "bob_2") == (None, None)
    store.remove_tokens([token.digest])
    store.remove_tokens([])
    assert store.token_and_owner(token.digest, "") == (None, None)
