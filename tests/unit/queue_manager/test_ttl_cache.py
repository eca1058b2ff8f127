"""Recent answers are reused."""

import pytest

from devtools.testbed.fakes import FakeClock
from queue_manager.requests.ttl_cache import ttl_cached


def test_an_answer_is_read_again_after_a_second() -> None:
    clock, read = FakeClock(), []

    def count(what: str) -> int:
        read.append(what)
        return len(read)

    answer = ttl_cached(count, monotonic=clock)
    assert [answer("a"), answer("a"), answer("b")] == [1, 1, 2]
    clock.tick(0.9)
    assert answer("a") == 1
    clock.tick(0.2)
    assert answer("a") == 3


def test_errors_are_not_cached() -> None:
    answers = iter([ZeroDivisionError, 7])

    def read() -> int:
        found = next(answers)
        if isinstance(found, int):
            return found
        raise found

    answer = ttl_cached(read, monotonic=FakeClock())
    with pytest.raises(ZeroDivisionError):
        answer()
    assert [answer(), answer()] == [7, 7]
