"""Every list in every format: the exact output for the API's objects, and failures."""

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from gpuq.output.listing import Format
from gpuq.output.text import table

JOB = "ann_20261124120000"
BRIEF = {
    "job_id": JOB,
    "user": "ann",
    "config": "demo.yaml",
    "status": "running",
    "submitted_at": "2026-11-24T12:00:00.123Z",
    "started_at": "2026-11-24T12:00:05.000Z",
    "finished_at": None,
    "reason": {"code": "running", "message": "Running on gpu-1.", "detail": ""},
    "position": None,
    "estimated_wait": None,
    "estimated_wait_s": None,
    "estimated_start_at": None,
    "estimated_end_at": "2026-11-24T13:00:00.000Z",
}
WAITS = BRIEF | {
    "job_id": "bob_20261124120100",
    "user": "bob",
    "status": "queued",
    "started_at": None,
    "estimated_end_at": None,
    "reason": {
        "code": "resources_busy",
        "message": "1st in line; GPU 0 on gpu-1 is at 93 % (limit: below 80 %)",
    },
    "position": 1,
    "estimated_wait": "45 minutes",
    "estimated_wait_s": 2700,
    "estimated_start_at": "2026-11-24T13:00:00.000Z",
}
FAILED = BRIEF | {
    "status": "failed",
    "reason": {"code": "killed", "message": "It was killed."},
    "name": "ein Lauf",
    "exit_code": 137,
    "finished_at": "2026-11-24T13:22:05.000Z",
    "node": "gpu-1",
    "gpus": 2,
    "attempt": 1,
    "run_folder": "/data/ann/runs/x",
    "estimated_end_at": None,
}
GPU = {
    "index": 0,
    "uuid": "GPU-a",
    "name": "RTX 6000",
    "memory_used_mb": 22100,
    "memory_total_mb": 49140,
    "memory_free_mb": 27040,
    "utilization_percent": 93,
    "power_w": 280,
    "temperature_c": 71,
    "process_count": 1,
    "available": False,
    "processes": [{"pid": 4242, "used_memory_mb": 22000, "user": "bob"}],
}
LOST = dict.fromkeys(GPU, None) | {
    "index": 1,
    "uuid": "GPU-b",
    "name": "RTX 6000",
    "available": False,
}
SNAPSHOT = {
    "node": "gpu-1",
    "available": False,
    "age_s": 0.4,
    "gpus": [GPU, LOST],
    "reasons": [
        {"code": "gpu_busy", "message": "GPU 0 is at 93 % (limit: below 80 %)", "gpu": 0},
        {"code": "gpu_lost", "message": "GPU 1 is lost: fallen off the bus.", "gpu": 1},
    ],
    "cpu": {"usage_percent": 45.0, "load_average": [2.1, 1.9, 1.7]},
    "memory": {"used_mb": 12288, "total_mb": 32768, "usage_percent": 37.5},
    "thresholds": {},
}
IDLE = SNAPSHOT | {
    "available": True,
    "gpus": [],
    "reasons": [],
    "cpu": {"usage_percent": 3.0, "load_average": None},
}
NODES = {
    "nodes": [
        {"node": "gpu-1", "at": "x", "age_s": 3.2, "snapshot": SNAPSHOT, "error": None},
        {"node": "laptop", "at": "x", "age_s": 1.0, "snapshot": IDLE, "error": None},
        {
            "node": "gpu-2",
            "at": "x",
            "age_s": 65.0,
            "snapshot": None,
            "error": "it cannot be reached",
        },
    ]
}
WORKFLOWS = {
    "workflows": [
        {"name": "proto-gcn", "is_default": True, "checks_config": True},
        {"name": "toy", "is_default": False, "checks_config": False},
    ]
}

#: command -> (its call, the API's object, what -o name prints)
LISTS: dict[str, tuple[tuple[str, ...], str, Any, list[str]]] = {
    "status": (
        ("status", "ann"),
        "GET /status/ann",
        {"user": "ann", "jobs": [BRIEF, FAILED]},
        [JOB, JOB],
    ),
    "queue": (
        ("queue",),
        "GET /queue?limit=100",
        {"length": 1, "jobs": [WAITS], "running": [BRIEF], "next": None},
        [JOB, WAITS["job_id"]],
    ),
    "show": (("show", JOB), f"GET /jobs/{JOB}", BRIEF, [JOB]),
    "history": (
        ("history", "--user=ann"),
        "GET /jobs?user=ann&limit=100",
        {"jobs": [FAILED], "next": None},
        [JOB],
    ),
    "nodes": (("nodes",), "GET /nodes", NODES, ["gpu-1", "laptop", "gpu-2"]),
    "configs": (("configs",), "GET /configs", {"configs": [{"name": "a.yaml"}]}, ["a.yaml"]),
    "workflows": (("workflows",), "GET /workflows", WORKFLOWS, ["proto-gcn", "toy"]),
}
FORMS = [form.value for form in Format]
EACH = pytest.mark.parametrize("name", LISTS)


@EACH
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_json_and_yaml_are_the_apis_object(
    gpuq: Callable[..., Any], server: Any, name: str, form: str
) -> None:
    arguments, call, answer, _ = LISTS[name]
    server.on(call, answer)
    ran = gpuq(*arguments, "-o", form)
    read = json.loads if form == "json" else yaml.safe_load
    assert (ran.code, read(ran.out), ran.err) == (0, answer, "")


def test_json_is_indented_and_not_escaped(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("GET /configs", {"configs": [{"name": "größer.yaml"}]})
    assert gpuq("configs", "-o", "json").out == (
        '{\n  "configs": [\n    {\n      "name": "größer.yaml"\n    }\n  ]\n}\n'
    )


@EACH
def test_name_prints_one_name_per_line(gpuq: Callable[..., Any], server: Any, name: str) -> None:
    arguments, call, answer, names = LISTS[name]
    server.on(call, answer)
    ran = gpuq(*arguments, "-o", "name")
    assert (ran.code, ran.out.splitlines(), ran.err) == (0, names, "")


@EACH
@pytest.mark.parametrize("form", FORMS)
def test_no_server_is_exit_code_6_in_every_format(
    gpuq: Callable[..., Any], name: str, form: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ran = gpuq("--server", f"http://127.0.0.1:{port}", *LISTS[name][0], "-o", form)
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (6, "", 1)


@EACH
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("status", "code"), [(403, 5), (404, 4), (503, 1)])
def test_a_refusal_is_printed_in_every_format(
    gpuq: Callable[..., Any], server: Any, name: str, form: str, status: int, code: int
) -> None:
    arguments, call, _, _ = LISTS[name]
    server.refuse(call, status, "It is so.")
    ran = gpuq(*arguments, "-o", form, "-w")
    assert (ran.code, ran.out, ran.err) == (code, "", "It is so.\n")


def test_an_unknown_format_is_wrong_usage(gpuq: Callable[..., Any], server: Any) -> None:
    assert gpuq("queue", "-o", "xml").code == 2
    assert server.asked == []


TABLES = {
    ("status", "table"): [
        f"JOB{' ' * 17}STATUS   POSITION  WAIT  REASON",
        f"{JOB}  running  -         -     Running on gpu-1.",
        f"{JOB}  failed   -         -     It was killed.",
    ],
    ("queue", "table"): [
        f"JOB{' ' * 17}USER  STATUS   POSITION  WAIT        REASON",
        f"{JOB}  ann   running  -         -           Running on gpu-1.",
        "bob_20261124120100  bob   queued   1         45 minutes  "
        "1st in line; GPU 0 on gpu-1 is at 93 % (limit: below 80 %)",
    ],
    ("history", "table"): [
        f"JOB{' ' * 17}STATUS  CONFIG     SUBMITTED             RAN    EXIT  REASON",
        f"{JOB}  failed  demo.yaml  2026-11-24T12:00:00Z  1h22m  137   It was killed.",
    ],
    ("nodes", "table"): [
        "NODE    GPU  STATE        UTIL  MEMORY         NAME      CPU   MAIN MEMORY  AGE    REASON",
        "gpu-1   0    busy         93 %  21.6/48.0 GiB  RTX 6000  45 %  38 %         3s     "
        "GPU 0 is at 93 % (limit: below 80 %)",
        "gpu-1   1    busy         -     -              RTX 6000  45 %  38 %         3s     "
        "GPU 1 is lost: fallen off the bus",
        "laptop  -    available    -     -              -         3 %   38 %         1s     -",
        "gpu-2   -    unreachable  -     -              -         -     -            1m05s  "
        "it cannot be reached",
    ],
    ("nodes", "wide"): [
        "NODE    GPU  STATE        UTIL  MEMORY         NAME      TEMP   POWER  CPU   "
        "MAIN MEMORY  LOAD            AGE    PROCESSES  REASON",
        "gpu-1   0    busy         93 %  21.6/48.0 GiB  RTX 6000  71 °C  280 W  45 %  "
        "38 %         2.10 1.90 1.70  3s     bob:4242   GPU 0 is at 93 % (limit: below 80 %)",
        "gpu-1   1    busy         -     -              RTX 6000  -      -      45 %  "
        "38 %         2.10 1.90 1.70  3s     -          GPU 1 is lost: fallen off the bus",
        "laptop  -    available    -     -              -         -      -      3 %   "
        "38 %         -               1s     -          -",
        "gpu-2   -    unreachable  -     -              -         -      -      -     "
        "-            -               1m05s  -          it cannot be reached",
    ],
    ("configs", "table"): ["CONFIG", "a.yaml"],
    ("workflows", "table"): [
        "WORKFLOW   DEFAULT  CHECKS CONFIG",
        "proto-gcn  yes      yes",
        "toy        no       no",
    ],
}


@pytest.mark.parametrize(("name", "form"), TABLES, ids="-".join)
@pytest.mark.parametrize("heads", [True, False], ids=["heads", "no-heads"])
def test_tables_are_exactly_like_this(
    gpuq: Callable[..., Any], server: Any, name: str, form: str, heads: bool
) -> None:
    arguments, call, answer, _ = LISTS[name]
    server.on(call, answer)
    ran = gpuq(*arguments, "-o", form, *([] if heads else ["--no-headers"]))
    lines = TABLES[name, form]
    if heads:
        assert ran.out.splitlines() == lines
    else:  # columns may be narrower without their names
        assert [line.split() for line in ran.out.splitlines()] == [
            line.split() for line in lines[1:]
        ]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("status", ["CONFIG", "SUBMITTED", "STARTED", "EXPECTED", "START", "EXPECTED", "END"]),
        ("queue", ["CONFIG", "SUBMITTED", "STARTED", "EXPECTED", "START", "EXPECTED", "END"]),
        (
            "history",
            ["USER", "NAME", "STARTED", "FINISHED", "NODE", "GPUS", "ATTEMPT", "RUN", "FOLDER"],
        ),
    ],
)
def test_wide_has_more_columns(
    gpuq: Callable[..., Any], server: Any, name: str, more: list[str]
) -> None:
    arguments, call, answer, _ = LISTS[name]
    server.on(call, answer)
    heads = gpuq(*arguments, "-o", "wide").out.splitlines()[0].split()
    for head in TABLES[name, "table"][0].split():
        heads.remove(head)
    assert heads == more


@pytest.mark.parametrize(
    ("arguments", "call", "answer", "said"),
    [
        (
            ("queue",),
            "GET /queue?limit=100",
            {"length": 0, "jobs": [], "running": [], "next": None},
            "0 running, 0 qu",
        ),
        (
            ("history", "--all"),
            "GET /jobs?limit=100",
            {"jobs": [], "next": None},
            "No matching jobs on record.",
        ),
        (("nodes",), "GET /nodes", {"nodes": []}, "No node has reported"),
        (("configs",), "GET /configs", {"configs": []}, "The server has no configs"),
    ],
)
def test_an_empty_list_is_a_message_and_not_a_failure(
    gpuq: Callable[..., Any],
    server: Any,
    arguments: tuple[str, ...],
    call: str,
    answer: Any,
    said: str,
) -> None:
    server.on(call, answer)
    ran = gpuq(*arguments)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(said)


# -- queue ---------------------------------------------------------------------------------------


def test_start_shows_the_expected_start_of_each_queued_job(
    gpuq: Callable[..., Any], server: Any
) -> None:
    unknown = WAITS | {"job_id": "bob_2", "position": 2, "estimated_start_at": None}
    server.on(
        "GET /queue?limit=100",
        {"length": 2, "jobs": [WAITS, unknown], "running": [BRIEF], "next": None},
    )
    lines = gpuq("queue", "--start").out.splitlines()
    assert [line.split()[:5] for line in lines] == [
        ["JOB", "USER", "STATUS", "POSITION", "START"],
        ["bob_20261124120100", "bob", "queued", "1", "2026-11-24T13:00:00Z"],
        ["bob_2", "bob", "queued", "2", "unknown"],
    ]


@pytest.mark.parametrize("option", [("--mine",), ("--user", "bob"), ("-u", "bob")])
def test_one_users_part_has_the_form_of_the_queue(
    gpuq: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...]
) -> None:
    monkeypatch.setenv("USER", "bob")
    mine = BRIEF | {"user": "bob"}
    server.on("GET /status/bob", {"user": "bob", "jobs": [mine, WAITS, FAILED]})
    ran = gpuq("queue", *option, "-o", "json")
    assert json.loads(ran.out) == {"length": 1, "jobs": [WAITS], "running": [mine], "next": None}


def test_mine_and_user_exclude_each_other(gpuq: Callable[..., Any], server: Any) -> None:
    assert gpuq("queue", "--mine", "--user", "bob").code == 2
    assert server.asked == []


# -- history -------------------------------------------------------------------------------------


def test_history_sends_its_filters(
    gpuq: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_795_996_800.0)
    call = "GET /jobs?user=ann&status=failed&since=2026-11-23T00%3A00%3A00.000Z&limit=1"
    server.on(call, {"jobs": [FAILED], "next": "/jobs?cursor=x"})
    ran = gpuq("history", "--user", "ann", "--since", "7d", "--status", "failed", "--limit", "1")
    assert (ran.code, [asked.call for asked in server.asked]) == (0, [call])


def test_history_reads_page_after_page(gpuq: Callable[..., Any], server: Any) -> None:
    server.on(
        "GET /jobs?user=ann&limit=500",
        {"jobs": [FAILED] * 500, "next": "/gpuq/jobs?user=ann&cursor=MDox"},
    )
    server.on(
        "GET /jobs?user=ann&limit=100&cursor=MDox",
        {"jobs": [FAILED] * 100, "next": "/jobs?cursor=MDoy"},
    )
    ran = gpuq("history", "--user", "ann", "--limit", "600", "-o", "name")
    assert (ran.code, len(ran.out.splitlines())) == (0, 600)


def test_history_reports_that_there_is_more(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("GET /jobs?user=ann&limit=1", {"jobs": [FAILED], "next": "/jobs?cursor=MDox"})
    assert gpuq("history", "--user", "ann", "--limit", "1").err == (
        "More jobs match; raise --limit to see them.\n"
    )


@pytest.mark.parametrize("arguments", [("--since", "soon"), ("--status", "ill"), ("--limit", "0")])
def test_invalid_options_of_history_are_refused(
    gpuq: Callable[..., Any], server: Any, arguments: tuple[str, ...]
) -> None:
    assert gpuq("history", *arguments).code == 2
    assert server.asked == []


# -- watch ---------------------------------------------------------------------------------------


def watching(server: Any, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "gpuq", "--server", server.url, *arguments, "--watch"]
    return subprocess.Popen(command, text=True, **options)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_watch_prints_changes_and_ends_with_exit_code_0(server: Any) -> None:
    server.on("GET /configs", {"configs": [{"name": "a.yaml"}]}, {"configs": [{"name": "a.yaml"}]})
    server.refuse("GET /configs", 503, "Redis is unavailable.")
    server.on("GET /configs", {"configs": [{"name": "b.yaml"}]})
    watch = watching(server, "configs", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: len(server.asked) >= 4)
    time.sleep(0.3)
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=20)
    assert (watch.returncode, out) == (0, "CONFIG\na.yaml\nCONFIG\nb.yaml\n")
    assert err == "Redis is unavailable. Retrying (Ctrl-C ends it).\n"


# -- on a terminal -------------------------------------------------------------------------------


def on_terminal(server: Any, *arguments: str, columns: int = 80, **env: str) -> bytes:
    """Return what the command writes to a terminal of that width."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "COLUMNS", "LINES")
    }
    env = {**inherited, "TERM": "xterm", **env}
    command = [sys.executable, "-m", "gpuq", "--server", server.url, *arguments]
    process = subprocess.Popen(
        command, stdout=its, stderr=subprocess.DEVNULL, env={**inherited, "TERM": "xterm", **env}
    )
    os.close(its)
    written, deadline = b"", time.monotonic() + 60
    try:
        while select.select([ours], [], [], max(0, deadline - time.monotonic()))[0] and (
            piece := os.read(ours, 65536)
        ):
            written += piece
            if arguments[-1] == "-w" and len(server.asked) >= 2:
                process.send_signal(signal.SIGINT)
    except OSError:
        pass  # the other end is closed: the command has ended
    os.close(ours)
    assert process.wait(20) == 0
    return written


def test_a_terminal_gets_colour_and_wrapped_reasons(server: Any) -> None:
    server.on(
        "GET /queue?limit=100", {"length": 1, "jobs": [WAITS], "running": [BRIEF], "next": None}
    )
    lines = on_terminal(server, "queue", columns=100).decode().splitlines()
    assert "\x1b[32mrunning\x1b[0m" in lines[1]
    assert lines[2].endswith("1st in line; GPU 0 on gpu-1 is at 93 %")
    assert lines[3].strip() == "(limit: below 80 %)"


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_if_it_is_not_wanted(server: Any, env: dict[str, str]) -> None:
    server.on("GET /queue?limit=100", {"length": 0, "jobs": [], "running": [BRIEF], "next": None})
    assert b"\x1b" not in on_terminal(server, "queue", **env)


def test_a_watch_redraws_a_terminal(server: Any) -> None:
    server.on("GET /configs", {"configs": [{"name": "a.yaml"}]}, {"configs": [{"name": "b.yaml"}]})
    written = on_terminal(server, "configs", "-w")
    assert written.startswith(b"\x1b[2J\x1b[H")
    assert written.count(b"\x1b[H") >= 2
    assert b"b.yaml" in written


# -- text ----------------------------------------------------------------------------------------


def test_a_table_is_aligned_by_display_width() -> None:
    assert table(("A", "B"), [("骨格", 1), ("x", None)]) == "A     B\n骨格  1\nx     -"


def test_control_characters_are_replaced() -> None:
    assert table(("A",), [("a\x1b[2Jb\nc",)]) == "A\na�[2Jb c"


def test_an_empty_table_has_its_headers() -> None:
    assert table(("A", "B"), []) == "A  B"
