"""Errors of Redis become errors with a remedy, in whatever wrapping they come."""

import pytest
from redis import exceptions

from jobqueue import errors
from jobqueue.store.redis_errors import translate

WRAPPINGS = [
    "{}",
    "Error running script (call to f_1): @user_script:1: @user_script: 1: -{}",
    "Error running script (call to f_1): @user_script:1: @user_script: 1: {}",
    "Command # 1 (HMGET job:ann_1) of pipeline caused error: {}",
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "raise the limit"),
        ("MISCONF Redis is configured to save RDB snapshots, but cannot.", "free space"),
        ("READONLY You can't write against a read only replica.", "the primary"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "of its own"),
    ],
)
def test_a_refusal_of_redis_names_its_remedy(wrapping: str, text: str, remedy: str) -> None:
    found = translate(exceptions.ResponseError(wrapping.format(text)))
    assert isinstance(found, errors.StoreUnavailable)
    assert remedy in str(found)


def test_a_failure_of_our_own_script_is_unexpected_data() -> None:
    text = "Error running script: @user_script:12: attempt to index a nil value"
    assert isinstance(translate(exceptions.ResponseError(text)), errors.CorruptData)
