"""The arithmetic of waiting, and its words."""

import pytest

from jobqueue.clock import rfc3339, seconds
from jobqueue.eta import in_words, remaining_s, wait_s


def test_with_average_run_times_the_wait_is_position_times_average() -> None:
    """The job is third in line; the running job has just started; each takes 15 minutes."""
    average = 900.0
    assert wait_s([remaining_s(average, 0)], [average, average], 1) == 3 * average


def test_a_running_job_counts_with_its_remaining_time() -> None:
    assert remaining_s(900, 600) == 300
    assert remaining_s(None, 600) is None


def test_a_job_that_takes_longer_than_expected_still_needs_a_while() -> None:
    assert remaining_s(900, 5000) == 90


def test_several_slots_share_the_work() -> None:
    assert wait_s([100, 100], [200], 2) == 200


def test_an_unknown_part_makes_the_whole_unknown() -> None:
    assert wait_s([None], [], 1) is None
    assert wait_s([], [10, None], 1) is None
    assert wait_s([], [], 1) == 0


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (None, "unknown"),
        (0, "less than a minute"),
        (29, "less than a minute"),
        (60, "1 minute"),
        (2700, "45 minutes"),
        (3600, "1 hour"),
        (7500, "2 hours 5 minutes"),
        (86400, "1 day"),
        (277200, "3 days 5 hours"),
    ],
)
def test_words(wait: float | None, words: str) -> None:
    assert in_words(wait) == words


def test_times_go_there_and_back() -> None:
    assert rfc3339(1_795_000_000.25) == "2026-11-18T11:06:40.250Z"
    assert seconds("2026-11-18T11:06:40.250Z") == 1_795_000_000.25
    with pytest.raises(ValueError, match="offset"):
        seconds("2026-11-18T11:06:40")
