"""gpuq doctor with each part broken once, and the remedies that it shows."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gpuq import checks
from gpuq.up.ports import free_port
from jobqueue.resources import NodeReasonCode
from jobqueue.service.health import ProblemCode, WarningCode

READY: dict[str, Any] = {"status": "ready", "warnings": [], "coded_warnings": []}
SNAPSHOT = {"available": True, "reasons": [], "gpus": []}
NODE = {"node": "gpu-1", "age_s": 2.4, "snapshot": SNAPSHOT, "error": None}
WORKFLOW = {"name": "proto-gcn", "is_default": True, "checks_config": True}


class Healthy:
    """A server without problems; the methods change one of its answers."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.but("GET /version", {"name": "gpuq", "version": metadata.version("gpuq-lab")})
        self.but("GET /readyz", READY)
        self.but("GET /nodes", {"nodes": [NODE]})
        self.but("GET /configs", {"configs": [{"name": "a.yaml"}, {"name": "b.yaml"}]})
        self.but(
            "GET /workflows",
            {"workflows": [WORKFLOW, {**WORKFLOW, "name": "toy", "is_default": False}]},
        )
        self.but("POST /submit", {"dry_run": True})

    def but(self, call: str, answer: Any) -> None:
        """Answer `call` with this instead."""
        self._server.answers.pop(call, None)
        self._server.on(call, answer)

    def refuses(self, call: str, status: int, detail: str, **more: Any) -> None:
        """Answer `call` with a problem instead."""
        self._server.answers.pop(call, None)
        self._server.refuse(call, status, detail, **more)

    def is_not_ready(self, code: str, message: str) -> None:
        """Answer /readyz with this problem."""
        self.refuses("GET /readyz", 503, message, code=code)

    def refuses_next(self, call: str, status: int, detail: str) -> None:
        """Answer the second `call` with a problem."""
        self._server.refuse(call, status, detail)

    def warns(self, code: str, message: str) -> None:
        """Answer /readyz with this warning."""
        coded = [{"code": code, "message": message}]
        self.but("GET /readyz", {**READY, "warnings": [message], "coded_warnings": coded})

    def reports(self, **changes: Any) -> None:
        """Change the node's report."""
        self.but("GET /nodes", {"nodes": [{**NODE, **changes}]})

    def has_reason(self, code: str, available: bool = False) -> None:
        """Give the node this reason."""
        reasons = [{"code": code, "message": "It is so.", "gpu": None}]
        self.reports(snapshot={**SNAPSHOT, "available": available, "reasons": reasons})


@pytest.fixture
def healthy(server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Healthy:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.delenv("GPUQ_TOKEN", raising=False)
    return Healthy(server)


def problems(out: str) -> list[tuple[str, str]]:
    """Return the lines with problems, each with the command below it."""
    lines = out.splitlines()
    return [
        (line, below.strip())
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        if line[:2] == "!!"
    ]


def test_without_problems_every_line_is_ok(
    gpuq: Callable[..., Any], server: Any, healthy: Healthy, tmp_path: Path
) -> None:
    ran = gpuq("doctor")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:-1] == [
        f"ok  server     {server.url} answers",
        f"ok  version    {metadata.version('gpuq-lab')} (client and server match)",
        "ok  redis      reachable; never evicts, writes every change to disk",
        "ok  scheduler  alive; jobs submitted now are queued and will be started",
        "ok  token      not needed on this server",
        "ok  node gpu-1 last report 2s ago; available",
        "ok  configs    a.yaml, b.yaml",
        "ok  templates  proto-gcn (default), toy",
    ]
    assert lines[-1].startswith("ok  disk       ")
    assert lines[-1].endswith(f" free in {tmp_path}")


@dataclass(frozen=True)
class Case:
    """One broken part: how it breaks, the part and a word of its line, a word of the command."""

    name: str
    spoil: Callable[[Healthy], None]
    part: str
    word: str
    command: str


def warning(code: str, command: str) -> Case:
    """Redis with this warning."""
    return Case(code, lambda h: h.warns(code, "It is so."), "redis", "It is so", command)


def not_ready(code: str, part: str, command: str) -> Case:
    """A server that is not ready for this reason."""
    return Case(code, lambda h: h.is_not_ready(code, "It is so."), part, "It is so", command)


def node(name: str, word: str, command: str, **changes: Any) -> Case:
    """A node with this report."""
    return Case(name, lambda h: h.reports(**changes), "node gpu-1", word, command)


def refused(call: str, status: int, part: str, command: str) -> Case:
    """A call that is refused."""

    def spoil(healthy: Healthy) -> None:
        healthy.refuses(call, status, "It is so.")

    return Case(f"{call} {status}", spoil, part, "It is so", command)


def answered(call: str, answer: Any, part: str, word: str, command: str) -> Case:
    """A call with an unusual answer."""
    return Case(f"{call} {word}", lambda h: h.but(call, answer), part, word, command)


CASES = [
    answered("GET /version", {"name": "gpuq", "version": "9.9"}, "version", "9.9", "make setup"),
    warning("aof_off", "config set appendonly yes"),
    warning("appendfsync_not_always", "config set appendfsync always"),
    warning("config_refused", "config get appendonly"),
    warning("a_code_of_a_later_version", "config get append*"),
    not_ready("redis_evicts", "redis", "maxmemory-policy noeviction"),
    not_ready("redis_too_old", "redis", "redis-server --version"),
    not_ready("redis_unavailable", "redis", "redis-cli -u $REDIS_URL ping"),
    not_ready("scheduler_not_responding", "scheduler", "scheduler.log"),
    not_ready("scheduler_halted", "scheduler", "gpuq admin resume"),
    not_ready("scheduler_heartbeat_unreadable", "scheduler", "gpuq --version"),
    not_ready("a_code_of_a_later_version", "ready", "queue-manager.log"),
    not_ready("", "ready", "queue-manager.log"),
    answered("GET /nodes", {"nodes": []}, "nodes", "no monitor has reported", "monitor.log"),
    node("unreachable", "reached", "monitor.log", snapshot=None, error="cannot be reached"),
    node("old", "last report 8m20s ago", "scheduler.log", age_s=500),
    answered("GET /configs", {"configs": []}, "configs", "none", "CONFIG_ROOT"),
    answered("GET /workflows", {"workflows": []}, "templates", "missing", "ls -l"),
    refused("GET /nodes", 401, "token", "export GPUQ_TOKEN="),
    refused("GET /nodes", 500, "nodes", "gpuq doctor"),
    refused("GET /configs", 500, "configs", "gpuq doctor"),
    refused("GET /workflows", 500, "templates", "gpuq doctor"),
    refused("POST /submit", 503, "templates", "--dry-run"),
]


def test_every_code_has_a_remedy() -> None:
    assert {*checks.REDIS_REMEDIES, *checks.SCHEDULER_REMEDIES} == set(ProblemCode)
    assert not checks.REDIS_REMEDIES.keys() & checks.SCHEDULER_REMEDIES.keys()
    assert checks.WARNING_REMEDIES.keys() == set(WarningCode)


def test_warnings_of_an_earlier_server_are_shown(
    gpuq: Callable[..., Any], healthy: Healthy
) -> None:
    healthy.but("GET /readyz", {"status": "ready", "warnings": ["It is so."]})
    assert [line for line, _ in problems(gpuq("doctor").out)] == ["!!  redis      It is so."]


def test_only_a_few_of_many_configs_are_named(gpuq: Callable[..., Any], healthy: Healthy) -> None:
    healthy.but("GET /configs", {"configs": [{"name": f"{letter}.yaml"} for letter in "abcdefg"]})
    assert (
        "ok  configs    a.yaml, b.yaml, c.yaml, d.yaml, e.yaml and 2 more\n" in gpuq("doctor").out
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_problem_is_shown_with_the_command_that_fixes_it(
    gpuq: Callable[..., Any], healthy: Healthy, case: Case
) -> None:
    case.spoil(healthy)
    ran = gpuq("doctor")
    found = [(line, below) for line, below in problems(ran.out) if line[4:].startswith(case.part)]
    assert ran.code == 1
    assert [(case.word in line, case.command in below) for line, below in found] == [(True, True)]
    assert case.part in ran.err
    assert "pip install" not in ran.out  # PyPI's gpuq is another project


def test_one_problem_is_one_line(gpuq: Callable[..., Any], healthy: Healthy) -> None:
    healthy.is_not_ready("scheduler_halted", "It is so.")
    ran = gpuq("doctor")
    assert len(problems(ran.out)) == 1
    assert ran.err == "1 problem: scheduler.\n"


def test_without_redis_the_other_parts_are_unknown(
    gpuq: Callable[..., Any], healthy: Healthy
) -> None:
    healthy.is_not_ready("redis_unavailable", "It is so.")
    healthy.refuses("GET /nodes", 503, "It is so.")
    ran = gpuq("doctor")
    assert [line[4:].split()[0] for line, _ in problems(ran.out)] == [
        "redis",
        "scheduler",
        "token",
        "nodes",
    ]
    assert "ok  templates" in ran.out


def test_a_refused_token_ends_the_checks(
    gpuq: Callable[..., Any], healthy: Healthy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_old")
    healthy.refuses("GET /nodes", 401, "This token has expired.")
    ran = gpuq("doctor")
    ((line, below),) = problems(ran.out)
    assert (ran.code, "expired" in line) == (1, True)
    assert below.startswith("gpuq admin token create --user ann")
    assert "gpuq_old" not in ran.out + ran.err


def test_an_accepted_token(
    gpuq: Callable[..., Any], healthy: Healthy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_good")
    healthy.refuses_next("GET /nodes", 401, "This call needs an access token.")
    assert "ok  token      accepted\n" in gpuq("doctor").out


def test_a_token_that_the_server_does_not_need(
    gpuq: Callable[..., Any], healthy: Healthy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_any")
    assert "ok  token      not needed on this server\n" in gpuq("doctor").out


def test_a_template_that_could_not_be_tested(gpuq: Callable[..., Any], healthy: Healthy) -> None:
    healthy.refuses("POST /submit", 400, "user: must be 1 to 28 of a-z.")
    ran = gpuq("doctor")
    assert ran.code == 0
    assert (
        "templates  proto-gcn (default), toy; not tested: user: must be 1 to 28 of a-z.\n"
        in ran.out
    )


def test_a_resource_monitor_is_not_a_queue_manager(
    gpuq: Callable[..., Any], healthy: Healthy
) -> None:
    healthy.refuses("GET /version", 404, "There is no /version here.")
    ran = gpuq("doctor")
    assert ran.code == 1
    assert "does not answer like a gpuq server" in problems(ran.out)[0][0]


@pytest.mark.parametrize("code", list(NodeReasonCode))
def test_a_busy_node_is_ok_and_a_broken_one_is_not(
    gpuq: Callable[..., Any], healthy: Healthy, code: NodeReasonCode
) -> None:
    healthy.has_reason(code)
    ran = gpuq("doctor")
    assert ran.code == (0 if code.endswith("_busy") or code == NodeReasonCode.GPU_MEMORY else 1)
    assert "It is so" in ran.out


def test_a_lost_gpu_is_a_problem_even_if_another_one_is_free(
    gpuq: Callable[..., Any], healthy: Healthy
) -> None:
    healthy.has_reason("gpu_lost", available=True)
    assert "nvidia-smi -r" in problems(gpuq("doctor").out)[0][1]


def test_a_refused_config_says_nothing_about_the_template(
    gpuq: Callable[..., Any], healthy: Healthy
) -> None:
    healthy.refuses("POST /submit", 400, "config: unknown key")
    assert gpuq("doctor").code == 0


def test_an_unreachable_server_is_exit_code_6_and_ports_are_checked(
    gpuq: Callable[..., Any], healthy: Healthy, server: Any
) -> None:
    ran = gpuq("--server", f"http://127.0.0.1:{free_port('127.0.0.1')}", "doctor")
    assert ran.code == 6
    line, below = problems(ran.out)[0]
    assert line.startswith("!!  server")
    assert below.startswith("gpuq up")
    assert (
        sum(
            " port " in line
            for line in ran.out.splitlines()
            if "free for gpuq up" in line or "taken" in line
        )
        == 3
    )
    assert server.asked == []


def test_a_server_elsewhere_says_nothing_about_this_machine(
    gpuq: Callable[..., Any], healthy: Healthy
) -> None:
    ran = gpuq("--server", "http://gpuq.invalid:8081", "doctor")
    assert (ran.code, len(ran.out.splitlines())) == (6, 2)


@pytest.mark.parametrize("answer", [{"status": "fine"}, b"<html>"])
def test_a_server_that_is_not_gpuq_is_a_problem(
    gpuq: Callable[..., Any], healthy: Healthy, answer: Any
) -> None:
    healthy.but("GET /version", answer)
    ran = gpuq("doctor")
    assert ran.code == 1
    assert "does not answer like a gpuq server" in problems(ran.out)[0][0]


def test_a_full_disk_is_a_problem() -> None:
    check = checks.disk("/x", 10 * 1024**2, 200 * 1024**2)
    assert not check.is_ok
    assert "at least 200 MB" in check.says
    assert "--data-dir" in check.remedy


def test_a_taken_port_is_a_problem(gpuq: Callable[..., Any], healthy: Healthy) -> None:
    with socket.socket() as holder:  # bound, not listening: no server
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        ran = gpuq("--server", f"http://127.0.0.1:{port}", "doctor")
    assert ran.code == 6
    assert any(
        f"Port {port} is taken" in line and "gpuq up --port" in below
        for line, below in problems(ran.out)
    )
