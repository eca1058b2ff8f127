"""Failpoints do what they are told, and nothing outside tests."""

import pytest

from jobqueue.failpoints import FailpointRaised, check_failpoints, failpoint

NAME = "scheduler.admit.after"


def test_nothing_without_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GPUQ_TESTING", raising=False)
    monkeypatch.setenv("FAILPOINT", f"{NAME}:raise")
    failpoint(NAME)
    with pytest.raises(SystemExit, match="refused"):
        check_failpoints()


def test_raise_and_only_at_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUQ_TESTING", "1")
    monkeypatch.setenv("FAILPOINT", f"{NAME}:raise,scheduler.record.after:sleep:0")
    check_failpoints()
    failpoint("scheduler.record.after")
    failpoint("scheduler.finish.after")
    with pytest.raises(FailpointRaised):
        failpoint(NAME)


def test_once(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("GPUQ_TESTING", "1")
    monkeypatch.setenv("FAILPOINT", f"{NAME}:raise")
    monkeypatch.setenv("FAILPOINT_ONCE", str(tmp_path / "fired"))
    with pytest.raises(FailpointRaised):
        failpoint(NAME)
    failpoint(NAME)


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUQ_TESTING", "1")
    monkeypatch.setenv("FAILPOINT", "scheduler.admitt.after:kill")
    with pytest.raises(SystemExit, match="admitt"):
        check_failpoints()
