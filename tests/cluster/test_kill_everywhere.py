"""The scheduler dies at every point between two of its writes, to Redis or to the API server, and
is started again.

Whatever it was at then is done once: no Workflow is made twice, none is lost, and no container
starts a second time.
"""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devtools.cluster.plane import Plane
from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings
from devtools.testbed.system import wait_for
from jobqueue.failpoints import FAILPOINTS

NODES = (2, 2)
POINTS = [
    name
    for name in FAILPOINTS
    if name.split(".")[0] in ("scheduler", "argo", "withdraw", "rebuild")
]
LONG = {"seconds": 600}


@dataclass(frozen=True)
class Doomed:
    """A system whose scheduler dies at `point`, and what happens around it."""

    system: ClusterSystem
    trainings: Trainings
    point: str
    fired: Path

    def arm(self, **env: str) -> None:
        self.system.kill("scheduler", signal.SIGTERM)
        self.system.start_one(
            "scheduler", FAILPOINT=f"{self.point}:kill", FAILPOINT_ONCE=str(self.fired), **env
        )

    def dies(self, **env: str) -> None:
        """It has died there, and is started again."""
        wait_for(
            f"{self.point} is passed",
            lambda: self.fired.exists() and self.system.exited("scheduler"),
        )
        self.system.start_one("scheduler", **env)

    def submitted(self, config: dict[str, Any]) -> str:
        return self.system.submitted(self.point.replace(".", "-").replace("_", "-"), config)

    def ran(self, job_id: str) -> list[tuple[str, str]]:
        """(attempt's suffix, node) of every container of the job that has ended."""
        name = self.system.workflow_name(job_id)
        return [
            (pod.removeprefix(name), node)
            for pod, node, *_ in self.trainings.ran
            if pod.startswith(name)
        ]


@pytest.fixture
def doomed(
    system: ClusterSystem, trainings: Trainings, tmp_path: Path, point: str
) -> Iterator[Doomed]:
    yield Doomed(system, trainings, point, tmp_path / "fired")
    system.wait_sound()


def succeeds(doomed: Doomed) -> list[str]:
    doomed.arm()
    job_id = doomed.submitted({"seconds": 0.2})
    doomed.dies()
    job = doomed.system.wait_status(job_id, "succeeded", "failed", "cancelled", timeout_s=60)
    assert (job["status"], job["attempt"], job["requeues"]) == ("succeeded", 1, 0)
    assert len(doomed.ran(job_id)) == 1
    return [doomed.system.workflow_name(job_id)]


def is_cancelled(doomed: Doomed) -> list[str]:
    doomed.arm()
    job_id = doomed.submitted(LONG)
    doomed.system.wait_status(job_id, "running")
    doomed.system.cancel(job_id)
    doomed.dies()
    job = doomed.system.wait_status(job_id, "cancelled", "failed", "succeeded")
    assert (job["status"], job["exit_code"]) == ("cancelled", 143)
    return [doomed.system.workflow_name(job_id)]


def is_evicted(doomed: Doomed) -> list[str]:
    """The job resumes as the next attempt, which is counted once."""
    doomed.arm()
    job_id = doomed.submitted(LONG)
    pod = doomed.system.wait_pod(job_id)
    doomed.system.wait_status(job_id, "running")
    doomed.trainings.evict(pod)
    doomed.dies()
    assert doomed.system.wait_resumed(job_id)["requeues"] == 1
    doomed.trainings.end(doomed.system.wait_pod(job_id), 0)
    assert doomed.system.wait_status(job_id, "succeeded", "failed")["status"] == "succeeded"
    assert [attempt for attempt, _ in doomed.ran(job_id)] == ["", "-r2"]
    return [doomed.system.workflow_name(job_id), f"{doomed.system.workflow_name(job_id)}-r2"]


def is_withdrawn(doomed: Doomed) -> list[str]:
    """Its node has no GPU for it, another one has: it starts there, under the same name."""
    system = doomed.system
    first, second = system.nodes
    system.monitors.busy[second] = (0, 1)
    doomed.arm()
    with system.gpus_taken(first):
        job_id = doomed.submitted(LONG)
        system.wait_reason(job_id, "Insufficient nvidia.com/gpu")
        system.monitors.busy.clear()
        doomed.dies()
        job = system.wait_status(job_id, "running")
    assert (job["node"], job["attempt"]) == (second, 1)
    doomed.trainings.end(system.wait_pod(job_id), 0)
    system.wait_status(job_id, "succeeded")
    assert doomed.ran(job_id) == [("", second)]
    return 2 * [system.workflow_name(job_id)]  # the first of them never had a container


def is_forgotten(doomed: Doomed) -> list[str]:
    """Its Workflow has been kept for long enough: that goes, with its ConfigMap, and the record
    stays.
    """
    job_id = doomed.submitted({"seconds": 0})
    doomed.system.wait_status(job_id, "succeeded")
    doomed.arm(WORKFLOW_RETENTION_S="0.5")
    doomed.dies(WORKFLOW_RETENTION_S="0.5")
    wait_for("all are gone", lambda: not doomed.system.workflows(), 60)
    config_maps = f"/api/v1/namespaces/{doomed.system.namespace}/configmaps"
    config_map = f"{config_maps}/{doomed.system.workflow_name(job_id)}"
    wait_for("their ConfigMaps too", lambda: doomed.system.admin.find(config_map) is None)
    assert doomed.system.job(job_id)["status"] == "succeeded"
    return [doomed.system.workflow_name(job_id)]


def is_restored(doomed: Doomed) -> list[str]:
    """Redis has forgotten everything while it ran."""
    doomed.arm()
    job_id = doomed.submitted(LONG)
    pod = doomed.system.wait_pod(job_id)
    doomed.system.wait_status(job_id, "running")
    doomed.system.empty_redis()
    doomed.dies()
    wait_for("it is known again", lambda: doomed.system.store.running_raw())
    doomed.system.acknowledged[:] = [job_id]  # of the others even the Workflows may be gone
    doomed.trainings.end(pod, 0)
    assert doomed.system.wait_status(job_id, "succeeded", "failed")["attempt"] == 1
    assert len(doomed.ran(job_id)) == 1
    return [doomed.system.workflow_name(job_id)]


LIVES: dict[str, Callable[[Doomed], list[str]]] = {
    "scheduler.stop.after": is_cancelled,
    "scheduler.requeue.before": is_evicted,
    "scheduler.requeue.after": is_evicted,
    "scheduler.delete.after": is_forgotten,
    "withdraw.marked": is_withdrawn,
    "withdraw.deleted": is_withdrawn,
    "rebuild.restored": is_restored,
}


@pytest.mark.parametrize("point", POINTS)
def test_killed(doomed: Doomed, cluster: Plane, point: str) -> None:
    """The Workflows that a life says it takes are all that were ever made for its job, by the audit
    log.
    """
    expected = LIVES.get(point, succeeds)(doomed)
    assert made(cluster, doomed.system.namespace, expected[0]) == Counter(expected)


def made(cluster: Plane, namespace: str, name: str) -> Counter[str]:
    """How often a Workflow of each name that begins so was made."""
    entries = [
        json.loads(line) for line in cluster.audit_log.read_text(encoding="utf-8").splitlines()
    ]
    about = [entry["objectRef"] for entry in entries if _is_made(entry)]
    names = [
        ref["name"]
        for ref in about
        if (ref["resource"], ref.get("namespace")) == ("workflows", namespace)
    ]
    return Counter(found for found in names if found.startswith(name))


def _is_made(entry: dict[str, Any]) -> bool:
    return entry["verb"] == "create" and entry.get("responseStatus", {}).get("code") == 201
