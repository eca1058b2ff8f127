"""Test access tokens with services that have AUTH=token and the `gpuq` command with GPUQ_TOKEN."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from devtools.testbed.system import System, running_system, wait_for
from jobqueue.tokens import PREFIX


@dataclass
class Ran:
    code: int
    out: str
    err: str


class Lab:
    """This is a whole gpuq with AUTH=token, and all output of its commands."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.tokens: list[str] = []
        self.said: list[str] = []

    def gpuq(self, *words: str, token: str = "") -> Ran:
        env = {**os.environ, "GPUQ_SERVER": self.system.api, "REDIS_URL": self.system.redis_url}
        command = [sys.executable, "-m", "gpuq", *words]
        done = subprocess.run(
            command,
            env={**env, "GPUQ_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        self.said.append(done.stderr)
        return Ran(done.returncode, done.stdout.strip(), done.stderr)

    def make(self, user: str, *words: str) -> str:
        ran = self.gpuq("admin", "token", "create", "--user", user, *words)
        assert ran.code == 0, ran.err
        self.tokens.append(ran.out)
        return ran.out

    def submit(self, user: str, token: str) -> Ran:
        config = self.system.folder / "toy.json"
        config.write_text('{"seconds": 0.3}')
        return self.gpuq(
            "submit", "--user", user, "--config", f"@{config}", "--workflow", "toy", token=token
        )

    def ask(
        self, path: str, token: str = "", method: str = "GET", **options: object
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(
            method, f"{self.system.api}{path}", headers=headers, timeout=10, **options
        )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with running_system(tmp_path_factory.mktemp("access"), AUTH="token") as system:
        lab = Lab(system)
        yield lab
        everything = "\n".join(
            [*lab.said, *(path.read_text() for path in (system.folder / "logs").iterdir())]
        )
        assert '"Queue manager started."' in everything
        for token in lab.tokens:
            assert token.removeprefix(PREFIX) not in everything


def test_a_job_from_submission_to_its_log_with_a_token(lab: Lab) -> None:
    ann = lab.make("ann", "--expires", "90d")
    ran = lab.submit("ann", ann)
    assert ran.code == 0, ran.err
    lab.system.headers = {"Authorization": f"Bearer {lab.make('root', '--role', 'admin')}"}
    lab.system.wait_status(ran.out, "succeeded")
    assert lab.gpuq("logs", ran.out, token=ann).code == 0
    assert "succeeded" in lab.gpuq("show", ran.out, token=ann).out


def test_no_token_and_the_token_of_another_user_exit_with_5_and_a_sentence(lab: Lab) -> None:
    bob, eve = lab.make("bob"), lab.make("eve")
    nobody = lab.submit("bob", "")
    assert (nobody.code, nobody.out) == (5, "")
    assert nobody.err.startswith("This call needs an access token: ")
    assert lab.submit("bob", "gpuq_wrong").err.startswith("This token is unknown")
    other = lab.submit("bob", eve)
    assert (other.code, other.err) == (
        5,
        "This token belongs to eve, so user must be eve, not bob; "
        "only an admin may name another user.\n",
    )
    job_id = lab.submit("bob", bob).out
    for command in ("show", "logs", "cancel", "retry"):
        ran = lab.gpuq(command, job_id, token=eve)
        assert (ran.code, ran.out) == (5, ""), command
        assert ran.err == (
            f"Job {job_id} belongs to bob and this token to eve; only bob and admins may do that.\n"
        )
    for command in (["queue"], ["status", "bob"]):
        assert lab.gpuq(*command, token=eve).code == 0


def test_an_admin_submits_and_cancels_for_anyone(lab: Lab) -> None:
    chief = lab.make("chief", "--role", "admin")
    job_id = lab.submit("carl", chief).out
    assert job_id.startswith("carl_")
    assert lab.gpuq("cancel", job_id, token=chief).code == 0


def test_a_rotation_leaves_no_gap_and_revoking_takes_effect_at_once(lab: Lab) -> None:
    old = lab.make("dora")
    new = lab.make("dora")
    assert lab.gpuq("admin", "token", "create", "--user", "dora").code == 1
    assert [lab.ask("/queue", token).status_code for token in (old, new)] == [200, 200]
    listed = [
        line.split()
        for line in lab.gpuq("admin", "token", "list").out.splitlines()
        if " dora " in line
    ]
    assert lab.gpuq("admin", "token", "revoke", listed[0][0]).code == 0
    assert [lab.ask("/queue", token).status_code for token in (old, new)] == [401, 200]
    assert lab.gpuq("admin", "token", "revoke", "--user", "dora").code == 0
    assert lab.ask("/queue", new).status_code == 401


def test_an_expired_token_is_not_accepted(lab: Lab) -> None:
    brief = lab.make("fred", "--expires", "5s")
    assert lab.ask("/queue", brief).status_code == 200
    wait_for("it expires", lambda: lab.ask("/queue", brief).status_code == 401, 10)
    assert "of fred has expired" in lab.ask("/queue", brief).json()["detail"]


def test_a_token_can_be_read_from_a_file(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(lab.make("gina") + "\n")
    assert lab.gpuq("--token-file", str(tmp_path / "token"), "queue").code == 0


def test_health_needs_no_token_and_metrics_need_one(lab: Lab) -> None:
    assert [
        lab.ask(path).status_code for path in ("/healthz", "/version", "/openapi.json", "/docs")
    ] == [200] * 4
    assert [lab.ask(path).status_code for path in ("/metrics", "/nodes", "/nowhere")] == [401] * 3
    assert lab.ask("/metrics", lab.make("prometheus")).status_code == 200


def test_a_followed_log_ends_with_its_token(lab: Lab) -> None:
    hugo = lab.make("hugo")
    body = {"user": "hugo", "config": {"seconds": 60}, "workdir": "/data/hugo", "workflow": "toy"}
    job_id = lab.ask("/submit", hugo, "POST", json=body).json()["job_id"]
    with lab.ask(f"/jobs/{job_id}/logs?follow=1", hugo, stream=True) as followed:
        lab.gpuq("admin", "token", "revoke", "--user", "hugo")
        began = time.monotonic()
        for _ in followed.iter_content(None):
            pass
        assert time.monotonic() - began < 10
    chief = lab.make("chief")
    assert (
        lab.ask(f"/jobs/{job_id}", chief, "DELETE").status_code == 403
    )  # the admin's other token is a user's
    lab.gpuq("admin", "token", "revoke", "--user", "chief")
    assert (
        lab.ask(f"/jobs/{job_id}", lab.make("chief", "--role", "admin"), "DELETE").status_code
        == 200
    )


def test_no_request_is_authorised_while_redis_is_unreachable(tmp_path: Path) -> None:
    with running_system(tmp_path, "redis", "queue_manager", AUTH="token") as system:
        lab = Lab(system)
        token = lab.make("ann")
        assert lab.ask("/configs", token).status_code == 200
        system.kill_redis()
        answer = lab.ask("/configs", token)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert lab.ask("/configs").status_code == 401
        assert lab.ask("/healthz").status_code == 200
        system.start_redis()
        wait_for("it is let in again", lambda: lab.ask("/configs", token).status_code == 200)
        assert token not in system.log("queue_manager")


def test_without_tokens_a_page_of_another_origin_gets_nothing(tmp_path: Path) -> None:
    with running_system(tmp_path, "redis", "queue_manager") as system:
        rebound = requests.get(f"{system.api}/queue", headers={"Host": "evil.example"}, timeout=10)
        assert rebound.status_code == 403
        assert "The Host evil.example is not this machine" in rebound.json()["detail"]
        origin = {"Origin": "http://evil.example"}
        assert (
            requests.post(f"{system.api}/jobs/a_1/retry", headers=origin, timeout=10).status_code
            == 403
        )
        assert requests.post(f"{system.api}/jobs/a_1/retry", timeout=10).status_code == 404
