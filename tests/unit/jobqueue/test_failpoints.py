"""Failpoints act as configured, and never outside tests."""

import re

import pytest

from devtools import ROOT
from jobqueue.failpoints import FAILPOINTS, FailpointRaised, check_failpoints, failpoint

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


def test_the_list_names_each_point_of_the_code_once() -> None:
    rooms = ("jobqueue", "queue_manager", "scheduler")
    texts = [
        path.read_text(encoding="utf-8") for room in rooms for path in (ROOT / room).rglob("*.py")
    ]
    used = [name for text in texts for name in re.findall(r'\bfailpoint\(\s*"([a-z_.]+)"', text)]
    assert sorted(set(used)) == sorted(FAILPOINTS)
