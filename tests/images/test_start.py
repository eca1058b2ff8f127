"""Each image, started as in a pod: its service answers or says what is missing, is healthy, and
ends on SIGTERM.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools import ROOT
from devtools.testbed.system import wait_for
from tests.images.conftest import Start
from tests.images.container import Container

ASK = """\
import sys, urllib.error, urllib.request as u
request = u.Request(sys.argv[1], data=sys.argv[2].encode() if len(sys.argv) > 2 else None)
request.add_header("Content-Type", "application/json")
if len(sys.argv) > 3: request.add_header("Authorization", "Bearer " + sys.argv[3])
try: answer = u.urlopen(request, timeout=10)
except urllib.error.HTTPError as error: answer = error
except OSError: sys.exit(1)
print(answer.status, answer.read().decode())
"""


def ask(container: Container, url: str, *data_and_token: str) -> tuple[int, Any]:
    """Status and JSON of an answer, asked for inside the container: it has no other network."""
    done = wait_for(
        f"{url} answers: {container.log}", lambda: _asked(container, url, *data_and_token)
    )
    status, _, text = done.partition(" ")
    return int(status), json.loads(text)


def _asked(container: Container, url: str, *data_and_token: str) -> str:
    return container.execute("python", "-c", ASK, url, *data_and_token).stdout


@pytest.fixture
def workflows(tmp_path: Path) -> Path:
    """Return the folder that the ConfigMap gpuq-workflows is in a cluster."""
    folder = tmp_path / "workflows"
    folder.mkdir()
    for name in ("proto-gcn-workflow.yaml", "proto-gcn.schema.json"):
        shutil.copy(ROOT / "workflows" / name, folder)
    return folder


def test_queue_manager_without_redis(start: Start, workflows: Path) -> None:
    container = start("queue-manager", mounts={"/workflows": workflows})
    assert ask(container, "http://127.0.0.1:8081/healthz") == (200, {"status": "ok"})
    assert container.health().returncode == 0, container.log
    status, answer = ask(container, "http://127.0.0.1:8081/readyz")
    assert status == 503
    assert "Redis" in answer["detail"]
    assert container.stop() == 0, container.log


@pytest.mark.parametrize("user", [1000, 4711])
def test_queue_manager_takes_a_job_with_a_token_made_inside(
    start: Start, workflows: Path, redis_folder: Path, user: int
) -> None:
    mounts = {
        "/workflows": workflows,
        "/config": ROOT / "workflows" / "configs",
        "/redis": redis_folder,
    }
    env = {"REDIS_URL": "unix:///redis/redis.sock"}
    container = start("queue-manager", mounts=mounts, env=env, user=user)
    ask(container, "http://127.0.0.1:8081/healthz")
    made = container.execute("gpuq", "admin", "token", "create", "--user", "ann")
    assert made.returncode == 0, made.stderr
    job = json.dumps({"user": "ann", "config": "demo.yaml", "workdir": "/data/ann"})
    status, answer = ask(container, "http://127.0.0.1:8081/submit", job, made.stdout.split()[-1])
    assert status == 202, answer
    assert answer["job_id"].startswith("ann_")
    assert ask(container, "http://127.0.0.1:8081/submit", job)[0] == 401


def test_queue_manager_without_templates_says_so(start: Start) -> None:
    container = start("queue-manager")
    assert container.process.wait(60) == 2
    assert container.log.startswith(
        "WORKFLOW_TEMPLATE='/workflows/proto-gcn-workflow.yaml' is refused"
    )


def test_gpuq_knows_its_version(start: Start) -> None:
    container = start("queue-manager", command=["gpuq", "--version"])
    assert container.process.wait(60) == 0, container.log
    assert "version" in container.log


def test_scheduler_refuses_a_wrong_setting(start: Start) -> None:
    container = start("scheduler", env={"POLL_INTERVAL_S": "soon"})
    assert container.process.wait(60) == 2
    assert container.log.startswith("POLL_INTERVAL_S='soon' is refused")


def test_scheduler_without_a_cluster_says_so(start: Start) -> None:
    container = start("scheduler")
    assert container.process.wait(60) == 2
    assert "KUBECONFIG" in container.log.splitlines()[-1]


KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: away
clusters: [{name: away, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: away, context: {cluster: away, user: nobody}}]
users: [{name: nobody, user: {token: none}}]
"""


@pytest.fixture
def kube(tmp_path: Path) -> Path:
    """Return a folder with the kubeconfig of an API server that does not answer."""
    folder = tmp_path / "kube"
    folder.mkdir()
    (folder / "config").write_text(KUBECONFIG, encoding="utf-8")
    return folder


def test_scheduler_is_alive_while_the_api_server_is_away(
    start: Start, kube: Path, redis_folder: Path
) -> None:
    env = {"KUBECONFIG": "/kube/config", "REDIS_URL": "unix:///redis/redis.sock"}
    container = start("scheduler", mounts={"/kube": kube, "/redis": redis_folder}, env=env)
    wait_for("the log names what is unreachable", lambda: "The engine failed." in container.log)
    assert container.health().returncode == 0, container.log
    assert container.stop() == 0, container.log


def test_scheduler_is_alive_while_redis_is_away(start: Start, kube: Path) -> None:
    container = start("scheduler", mounts={"/kube": kube}, env={"KUBECONFIG": "/kube/config"})
    wait_for("the log names what is unreachable", lambda: "Redis" in container.log)
    wait_for("the loop goes round", lambda: container.health().returncode == 0)
    assert container.stop() == 0, container.log


def test_resource_monitor_answers(start: Start) -> None:
    container = start("resource-monitor", env={"REQUIRE_GPU": "false", "NODE_NAME": "gpu-1"})
    wait_for(container.log, lambda: ask(container, "http://127.0.0.1:8080/readyz")[0] == 200)
    status, answer = ask(container, "http://127.0.0.1:8080/status")
    assert status == 200
    assert (answer["node"], answer["gpus"]) == ("gpu-1", [])
    assert answer["memory"]["total_mb"] > 0
    assert container.health().returncode == 0, container.log
    assert container.stop() == 0, container.log


class Data:
    """What /data and /config are to a training: a generated data set, a config of `epochs`, a
    folder of its user.
    """

    def __init__(self, folder: Path, torch_mounts: dict[str, Path], epochs: int) -> None:
        self.data, self.config = folder / "data", folder / "config"
        for place in (self.data, self.data / "datasets", self.data / "ann", self.config):
            place.mkdir()
        for place in (self.data / "datasets", self.data / "ann"):
            place.chmod(0o777)
        demo = yaml.safe_load(
            (ROOT / "workflows" / "configs" / "demo.yaml").read_text(encoding="utf-8")
        )
        demo["total_epochs"] = epochs
        (self.config / "config.yaml").write_text(yaml.safe_dump(demo), encoding="utf-8")
        self.mounts = {"/data": self.data, "/config": self.config, **torch_mounts}
        self.env = {
            "CONFIG_FILE": "/config/config.yaml",
            "WORK_DIR": "/data/ann",
            "JOB_ID": "job-1",
        }
        self.run = self.data / "ann" / "runs" / "job-1"

    def has_begun(self, training: Container) -> bool:
        """Return whether an epoch is over; a training that has ended instead is a failure."""
        assert training.process.poll() is None, training.log
        metrics = self.run / "metrics.jsonl"
        return metrics.exists() and '"epoch"' in metrics.read_text(encoding="utf-8")


def generate(start: Start, data: Data, user: int) -> None:
    small = ["--train", "32", "--val", "12"]
    command = [
        "python",
        "-m",
        "proto_gcn.data.synthetic",
        "--out",
        "/data/datasets/demo.pkl",
        *small,
    ]
    generator = start("proto-gcn", command=command, mounts=data.mounts, user=user)
    assert generator.process.wait(120) == 0, generator.log


@pytest.mark.parametrize("user", [1000, 4711])
def test_training_to_its_end(
    start: Start, tmp_path: Path, torch_mounts: dict[str, Path], user: int
) -> None:
    data = Data(tmp_path, torch_mounts, epochs=1)
    generate(start, data, user)
    training = start("proto-gcn", mounts=data.mounts, env=data.env, user=user)
    assert training.process.wait(300) == 0, training.log
    assert (data.run / "result.json").exists()
    assert (data.run / "checkpoints" / "best.pth").stat().st_uid == user


def test_training_ends_on_sigterm_with_a_checkpoint(
    start: Start, tmp_path: Path, torch_mounts: dict[str, Path]
) -> None:
    data = Data(tmp_path, torch_mounts, epochs=10_000)
    generate(start, data, 1000)
    training = start("proto-gcn", mounts=data.mounts, env=data.env)
    wait_for("an epoch is over", lambda: data.has_begun(training), 300)
    assert training.stop() == 143, training.log
    assert (data.run / "checkpoints" / "latest.pth").exists()


def test_training_without_a_config_says_so(start: Start, torch_mounts: dict[str, Path]) -> None:
    training = start("proto-gcn", env={"JOB_ID": "job-1"}, mounts=torch_mounts)
    assert training.process.wait(120) == 2
    assert "CONFIG_FILE is not set" in training.log
