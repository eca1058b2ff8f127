"""gpuq doctor with each line red once, and what it says then."""

import socket
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from gpuq import checks
from gpuq.up.ports import free_port
from jobqueue.resources import NodeReasonCode

READY: dict[str, Any] = {"status": "ready", "warnings": []}
SNAPSHOT = {"available": True, "reasons": [], "gpus": []}
NODE = {"node": "gpu-1", "age_s": 2.4, "snapshot": SNAPSHOT, "error": None}
WORKFLOW = {"name": "proto-gcn", "is_default": True, "checks_config": True}


class Well:
    """Lays down the answers of a server that is well; `but` changes one of them."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.but("GET /version", {"name": "gpuq", "version": metadata.version("gpuq")})
        self.but("GET /readyz", READY)
        self.but("GET /nodes", {"nodes": [NODE]})
        self.but("GET /configs", {"configs": [{"name": "a.yaml"}, {"name": "b.yaml"}]})
        self.but(
            "GET /workflows",
            {"workflows": [WORKFLOW, {**WORKFLOW, "name": "toy", "is_default": False}]},
        )
        self.but("POST /submit", {"dry_run": True})

    def but(self, call: str, answer: Any) -> None:
        self._server.answers.pop(call, None)
        self._server.on(call, answer)

    def refuses(self, call: str, status: int, detail: str) -> None:
        self._server.answers.pop(call, None)
        self._server.refuse(call, status, detail)

    def refuses_next(self, call: str, status: int, detail: str) -> None:
        """After the answer that it gives first."""
        self._server.refuse(call, status, detail)

    def warns(self, sentence: str) -> None:
        self.but("GET /readyz", {**READY, "warnings": [sentence]})

    def reports(self, **changes: Any) -> None:
        self.but("GET /nodes", {"nodes": [{**NODE, **changes}]})

    def has_reason(self, code: str, available: bool = False) -> None:
        reasons = [{"code": code, "message": "It is so.", "gpu": None}]
        self.reports(snapshot={**SNAPSHOT, "available": available, "reasons": reasons})


@pytest.fixture
def well(server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Well:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.delenv("GPUQ_TOKEN", raising=False)
    return Well(server)


def red(out: str) -> list[tuple[str, str]]:
    """The red lines, each with the command below it."""
    lines = out.splitlines()
    return [
        (line, below.strip())
        for line, below in zip(lines, [*lines[1:], ""], strict=True)
        if line[:2] == "!!"
    ]


def test_all_is_well(gpuq: Callable[..., Any], server: Any, well: Well, tmp_path: Path) -> None:
    ran = gpuq("doctor")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:-1] == [
        f"ok  server     {server.url} answers",
        f"ok  version    {metadata.version('gpuq')}, here and there",
        "ok  redis      reachable; evicts nothing, writes everything down",
        "ok  scheduler  reports; a job submitted now is kept and started",
        "ok  token      the server asks for none",
        "ok  node gpu-1 heard 2s ago; available",
        "ok  configs    a.yaml, b.yaml",
        "ok  templates  proto-gcn (default), toy",
    ]
    assert lines[-1].startswith("ok  disk       ")
    assert lines[-1].endswith(f" free in {tmp_path}")


#: what is not well -> (the part that is red, a word of its line, a word of the command)
RED: list[tuple[str, Callable[[Well], None], str, str, str]] = [
    (
        "version",
        lambda w: w.but("GET /version", {"name": "gpuq", "version": "9.9"}),
        "version",
        "9.9",
        "pip install 'gpuq-lab==9.9'",
    ),
    *(
        (f"redis: {word}", lambda w, s=sentence: w.warns(s), "redis", word, command)
        for sentence, word, command in [
            ("Redis keeps no append-only file", "append-only", "config set appendonly yes"),
            ("Redis writes its file with appendfsync no", "appendfsync", "config set appendfsync always"),
            ("Redis does not tell (CONFIG is refused)", "CONFIG", "config get appendonly"),
            ("Something new", "Something new", "config get append*"),
        ]
    ),
    *(
        (f"ready: {word}", lambda w, s=sentence: w.refuses("GET /readyz", 503, s), part, word, command)
        for sentence, part, word, command in [
            ("Redis may evict (maxmemory-policy allkeys-lru)", "redis", "evict", "maxmemory-policy noeviction"),
            ("Redis 5.0 is too old", "redis", "too old", "redis-server --version"),
            ("Redis cannot be reached", "redis", "reached", "redis-cli -u $REDIS_URL ping"),
            ("The scheduler is away since x", "scheduler", "away", "scheduler.log"),
            ("The scheduler is halted since x", "scheduler", "halted", "gpuq admin resume"),
            ("The scheduler's heartbeat cannot be read", "scheduler", "heartbeat", "gpuq --version"),
        ]
    ),
    ("no token", lambda w: w.refuses("GET /nodes", 401, "needs a token"), "token", "needs", "export GPUQ_TOKEN="),
    ("no nodes", lambda w: w.but("GET /nodes", {"nodes": []}), "nodes", "no monitor", "resource-monitor.log"),
    ("error", lambda w: w.reports(snapshot=None, error="cannot be reached"), "node gpu-1", "reached", "monitor.log"),
    ("old", lambda w: w.reports(age_s=500), "node gpu-1", "heard 8m20s ago", "scheduler.log"),
    ("configs", lambda w: w.but("GET /configs", {"configs": []}), "configs", "none", "CONFIG_ROOT"),
    ("no template", lambda w: w.but("GET /workflows", {"workflows": []}), "templates", "not there", "ls -l"),
    ("template", lambda w: w.refuses("POST /submit", 503, "is no YAML"), "templates", "no YAML", "--dry-run"),
    ("nodes 500", lambda w: w.refuses("GET /nodes", 500, "met an error"), "nodes", "met an error", "gpuq doctor"),
    ("configs 500", lambda w: w.refuses("GET /configs", 500, "an error"), "configs", "an error", "gpuq doctor"),
    ("workflows 500", lambda w: w.refuses("GET /workflows", 500, "an error"), "templates", "an error", "gpuq doctor"),
]  # fmt: skip


def test_of_many_configs_a_few_are_named(gpuq: Callable[..., Any], well: Well) -> None:
    well.but("GET /configs", {"configs": [{"name": f"{letter}.yaml"} for letter in "abcdefg"]})
    assert (
        "ok  configs    a.yaml, b.yaml, c.yaml, d.yaml, e.yaml and 2 more\n" in gpuq("doctor").out
    )


@pytest.mark.parametrize(
    ("spoil", "part", "word", "command"), [row[1:] for row in RED], ids=[row[0] for row in RED]
)
def test_each_red_line_has_the_command_that_mends_it(
    gpuq: Callable[..., Any],
    well: Well,
    spoil: Callable[[Well], None],
    part: str,
    word: str,
    command: str,
) -> None:
    spoil(well)
    ran = gpuq("doctor")
    found = [(line, below) for line, below in red(ran.out) if line[4:].startswith(part)]
    assert ran.code == 1
    assert [(word in line, command in below) for line, below in found] == [(True, True)]
    assert part in ran.err


def test_one_illness_is_one_red_line(gpuq: Callable[..., Any], well: Well) -> None:
    well.refuses("GET /readyz", 503, "The scheduler is halted since x: y. z.")
    assert len(red(gpuq("doctor").out)) == 1


def test_while_redis_is_away_the_rest_is_not_known(gpuq: Callable[..., Any], well: Well) -> None:
    for call in ("GET /readyz", "GET /nodes"):
        well.refuses(call, 503, "Redis cannot be reached.")
    ran = gpuq("doctor")
    assert [line[4:].split()[0] for line, _ in red(ran.out)] == [
        "redis",
        "scheduler",
        "token",
        "nodes",
    ]
    assert "ok  templates" in ran.out


def test_a_token_that_is_refused_ends_with_it(
    gpuq: Callable[..., Any], well: Well, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_old")
    well.refuses("GET /nodes", 401, "This token has expired.")
    ran = gpuq("doctor")
    ((line, below),) = red(ran.out)
    assert (ran.code, "expired" in line) == (1, True)
    assert below.startswith("gpuq admin token create --user ann")
    assert "gpuq_old" not in ran.out + ran.err


def test_a_token_that_is_accepted(
    gpuq: Callable[..., Any], well: Well, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_good")
    well.refuses_next("GET /nodes", 401, "This call needs an access token.")
    assert "ok  token      accepted\n" in gpuq("doctor").out


def test_a_token_that_nobody_asks_for(
    gpuq: Callable[..., Any], well: Well, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_any")
    assert "ok  token      the server asks for none\n" in gpuq("doctor").out


def test_a_template_that_could_not_be_tried(gpuq: Callable[..., Any], well: Well) -> None:
    well.refuses("POST /submit", 400, "user: must be 1 to 28 of a-z.")
    ran = gpuq("doctor")
    assert ran.code == 0
    assert (
        "templates  proto-gcn (default), toy; not tried out: user: must be 1 to 28 of a-z.\n"
        in ran.out
    )


def test_a_resource_monitor_is_no_queue_manager(gpuq: Callable[..., Any], well: Well) -> None:
    well.refuses("GET /version", 404, "There is no /version here.")
    ran = gpuq("doctor")
    assert ran.code == 1
    assert "does not answer like a gpuq server" in red(ran.out)[0][0]


@pytest.mark.parametrize("code", list(NodeReasonCode))
def test_busy_is_no_illness_and_broken_is_one(
    gpuq: Callable[..., Any], well: Well, code: NodeReasonCode
) -> None:
    well.has_reason(code)
    ran = gpuq("doctor")
    assert ran.code == (0 if code.endswith("_busy") or code == NodeReasonCode.GPU_MEMORY else 1)
    assert "It is so" in ran.out


def test_a_lost_gpu_is_red_though_its_sister_is_free(gpuq: Callable[..., Any], well: Well) -> None:
    well.has_reason("gpu_lost", available=True)
    assert "nvidia-smi -r" in red(gpuq("doctor").out)[0][1]


def test_a_config_that_is_refused_says_nothing_of_the_template(
    gpuq: Callable[..., Any], well: Well
) -> None:
    well.refuses("POST /submit", 400, "config: unknown key")
    assert gpuq("doctor").code == 0


def test_a_server_that_is_away_is_exit_6_and_the_ports_are_looked_at(
    gpuq: Callable[..., Any], well: Well, server: Any
) -> None:
    ran = gpuq("--server", f"http://127.0.0.1:{free_port('127.0.0.1')}", "doctor")
    assert ran.code == 6
    line, below = red(ran.out)[0]
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


def test_a_server_elsewhere_says_nothing_of_this_machine(
    gpuq: Callable[..., Any], well: Well
) -> None:
    ran = gpuq("--server", "http://gpuq.invalid:8081", "doctor")
    assert (ran.code, len(ran.out.splitlines())) == (6, 2)


@pytest.mark.parametrize("answer", [{"status": "fine"}, b"<html>"])
def test_a_foreign_server_is_red(gpuq: Callable[..., Any], well: Well, answer: Any) -> None:
    well.but("GET /version", answer)
    ran = gpuq("doctor")
    assert ran.code == 1
    assert "does not answer like a gpuq server" in red(ran.out)[0][0]


def test_a_full_disk_is_red() -> None:
    check = checks.disk("/x", 10 * 1024**2, 200 * 1024**2)
    assert not check.is_ok
    assert "at least 200 MB" in check.says
    assert "--data-dir" in check.remedy


def test_a_taken_port_is_red(gpuq: Callable[..., Any], well: Well) -> None:
    with socket.socket() as holder:  # bound and not listening: nobody answers, and yet it is taken
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        ran = gpuq("--server", f"http://127.0.0.1:{port}", "doctor")
    assert ran.code == 6
    assert any(
        f"Port {port} is taken" in line and "gpuq up --port" in below
        for line, below in red(ran.out)
    )
