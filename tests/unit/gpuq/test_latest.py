"""@latest, cancel --all, submit --quiet, and shell completion."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

JOB = "ann_20261124120000"
LATEST = "GET /jobs?user=ann&limit=1"


@pytest.fixture(autouse=True)
def ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ann")


def page(*ids: str) -> dict[str, Any]:
    return {"jobs": [{"job_id": job_id, "status": "queued"} for job_id in ids], "next": None}


# -- @latest -------------------------------------------------------------------------------------

TAKES_A_JOB = [
    ("show", f"GET /jobs/{JOB}"),
    ("logs", f"GET /jobs/{JOB}/logs"),
    ("cancel", f"DELETE /jobs/{JOB}"),
    ("retry", f"POST /jobs/{JOB}/retry"),
]
EACH = pytest.mark.parametrize(("command", "call"), TAKES_A_JOB)


@EACH
def test_latest_is_the_callers_newest_job(
    gpuq: Callable[..., Any], server: Any, command: str, call: str
) -> None:
    server.on(LATEST, page(JOB))
    gpuq(command, "@latest")
    assert [asked.call for asked in server.asked] == [LATEST, call]


@EACH
def test_latest_of_another_user(
    gpuq: Callable[..., Any], server: Any, command: str, call: str
) -> None:
    server.on("GET /jobs?user=bob&limit=1", page("bob_1"))
    gpuq(command, "--user", "bob", "@latest")
    assert server.asked[1].call == call.replace(JOB, "bob_1")


@EACH
def test_no_latest_is_exit_code_4(
    gpuq: Callable[..., Any], server: Any, command: str, call: str
) -> None:
    server.on(LATEST, page())
    ran = gpuq(command, "@latest")
    assert (ran.code, ran.err) == (4, "ann has no jobs on record, so there is no @latest.\n")


def nobody() -> str:
    raise OSError("No username set in the environment")


@EACH
def test_latest_without_a_user_is_wrong_usage(
    gpuq: Callable[..., Any], server: Any, monkeypatch: pytest.MonkeyPatch, command: str, call: str
) -> None:
    monkeypatch.delenv("USER")
    monkeypatch.setattr("getpass.getuser", nobody)
    assert gpuq(command, "@latest").code == 2
    assert server.asked == []


# -- cancel --all --------------------------------------------------------------------------------


def active(server: Any, **ids: list[str]) -> None:
    for status in ("queued", "admitted", "running"):
        server.on(f"GET /jobs?user=ann&status={status}&limit=500", page(*ids.get(status, [])))
    for job_id in {job_id for several in ids.values() for job_id in several}:
        server.on(f"DELETE /jobs/{job_id}", {"status": "cancelled", "cancelling": False})


def deleted(server: Any) -> list[str]:
    return [
        asked.call.rpartition("/")[2] for asked in server.asked if asked.call.startswith("DELETE")
    ]


def test_all_are_cancelled_the_queued_ones_first(gpuq: Callable[..., Any], server: Any) -> None:
    active(server, running=["r"], queued=["q1", "q2"], admitted=["a"])
    assert gpuq("cancel", "--all", "--yes").code == 0
    assert deleted(server) == ["q1", "q2", "a", "r"]


def test_a_job_that_starts_meanwhile_is_cancelled_once(
    gpuq: Callable[..., Any], server: Any
) -> None:
    active(server, queued=["q"], running=["q"])
    assert gpuq("cancel", "--all", "-y").code == 0
    assert deleted(server) == ["q"]


def test_nothing_to_cancel_is_not_a_failure(gpuq: Callable[..., Any], server: Any) -> None:
    active(server)
    ran = gpuq("cancel", "--all", "--yes")
    assert (ran.code, ran.err) == (0, "ann has no jobs to cancel.\n")


@pytest.mark.parametrize("arguments", [("--all",), (), ("--all", "--yes", JOB), ("--user", "ann")])
def test_contradictory_options_of_cancel_are_refused(
    gpuq: Callable[..., Any], server: Any, arguments: tuple[str, ...]
) -> None:
    assert gpuq("cancel", *arguments).code == 2
    assert server.asked == []


@pytest.mark.parametrize(
    ("typed", "code", "gone"), [("y\n", 0, ["q", "r"]), ("n\n", 1, []), ("\n", 1, [])]
)
def test_on_a_terminal_cancel_asks_first(
    server: Any, typed: str, code: int, gone: list[str]
) -> None:
    active(server, queued=["q"], running=["r"])
    ours, its = os.openpty()
    os.write(ours, typed.encode())
    command = [sys.executable, "-m", "gpuq", "--server", server.url, "cancel", "--all"]
    ran = subprocess.run(
        command, stdin=its, capture_output=True, text=True, timeout=20, check=False
    )
    os.close(ours)
    os.close(its)
    assert (ran.returncode, deleted(server)) == (code, gone)
    assert "Cancel 2 jobs of ann (1 queued, 1 running)? [y/N]" in ran.stderr + ran.stdout
    assert code == 0 or "Nothing was cancelled." in ran.stderr


# -- submit --quiet ------------------------------------------------------------------------------

QUEUED = {"status": "queued", "job_id": JOB, "position": 3, "estimated_wait": "45 minutes"}


@pytest.mark.parametrize("wait", [(), ("--wait",), ("--follow",)])
def test_quiet_prints_only_the_id(
    gpuq: Callable[..., Any], server: Any, make_job: Any, wait: tuple[str, ...]
) -> None:
    server.on("POST /submit", QUEUED, status=202)
    server.on(f"GET /jobs/{JOB}", make_job("succeeded"))
    server.on(
        f"GET /jobs/{JOB}/metrics?since=0", b'{"kind":"epoch","epoch":1,"epochs":2,"loss":0.5}\n'
    )
    ran = gpuq("submit", "-q", "-c", "demo.yaml", *wait)
    assert (ran.code, ran.out, ran.err) == (0, f"{JOB}\n", "")


def test_quiet_still_reports_failures(gpuq: Callable[..., Any], server: Any, make_job: Any) -> None:
    server.on("POST /submit", QUEUED, status=202)
    server.on(f"GET /jobs/{JOB}", make_job("failed", message="It was killed."))
    server.on(f"GET /jobs/{JOB}/metrics?since=0", b"")
    ran = gpuq("submit", "-q", "-c", "demo.yaml", "--wait")
    assert (ran.code, "It was killed." in ran.err) == (3, True)


# -- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "line"),
    [("bash", "complete -o nosort -F"), ("zsh", "#compdef gpuq"), ("fish", "complete --no-files")],
)
def test_the_script_of_each_shell(
    gpuq: Callable[..., Any], server: Any, shell: str, line: str
) -> None:
    ran = gpuq("completion", shell)
    assert (ran.code, ran.err, server.asked) == (0, "", [])
    assert line in ran.out
    assert "_GPUQ_COMPLETE" in ran.out


def test_an_unknown_shell_is_wrong_usage(gpuq: Callable[..., Any]) -> None:
    assert gpuq("completion", "tcsh").code == 2


def completed(url: str, *words: str) -> list[str]:
    """Return what bash would offer after `gpuq WORDS`, the last of which is incomplete."""
    env = {**os.environ, "GPUQ_SERVER": url, "_GPUQ_COMPLETE": "bash_complete"}
    env |= {"COMP_WORDS": " ".join(["gpuq", *words]), "COMP_CWORD": str(len(words))}
    ran = subprocess.run(
        [sys.executable, "-m", "gpuq"], env=env, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return [line.partition(",")[2] for line in ran.stdout.splitlines() if line]


def test_job_ids_come_from_the_server(server: Any) -> None:
    server.on("GET /status/ann", page(JOB, "ann_2"))
    server.on("GET /status/bob", page("bob_1"))
    server.on(
        "GET /queue?limit=500",
        {"running": page("carl_1")["jobs"], "jobs": page("bob_1", "ann_2")["jobs"]},
    )
    assert completed(server.url, "show", "") == ["@latest", JOB, "ann_2"]
    assert completed(server.url, "cancel", "ann_2026") == [JOB]
    assert completed(server.url, "logs", "-f", "bob_") == ["bob_1"]
    assert completed(server.url, "retry", "c") == ["carl_1"]


def test_commands_and_values_need_no_server() -> None:
    assert completed("http://127.0.0.1:9", "hist") == ["history"]
    assert completed("http://127.0.0.1:9", "queue", "-o", "j") == ["json"]
    assert completed("http://127.0.0.1:9", "show", "@") == ["@latest"]


def test_an_unreachable_server_completes_nothing(server: Any) -> None:
    assert completed("http://127.0.0.1:9", "show", "") == []
    assert completed("nonsense", "show", "") == []
    server.refuse("GET /status/ann", 401, "Who is it?")
    assert completed(server.url, "show", "") == []
