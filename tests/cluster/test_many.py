"""Many jobs on many nodes: no GPU is promised twice, nobody runs twice at once, everybody's order
is kept.
"""

from collections import Counter
from pathlib import Path

import pytest

from devtools.cluster.cluster import GPU
from devtools.cluster.plane import Plane
from devtools.cluster.system import ClusterSystem, running
from devtools.cluster.trainings import Trainings
from devtools.testbed.system import wait_for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "system"


def test_30_jobs_by_5_users_on_3_nodes_with_2_gpus(
    cluster: Plane, trainings: Trainings, folder: Path
) -> None:
    with running(folder, cluster, 2, 2, 2) as system:
        users = [f"user{number}" for number in range(1, 6)]
        jobs = [
            system.submitted(user, {"seconds": 0.3}, gpus=2 if turn % 3 == 2 else 1)
            for turn in range(6)
            for user in users
        ]
        seen = Watched(system)
        wait_for(
            "all have finished", lambda: seen.look() or not seen.unfinished(jobs), 90, every_s=0.1
        )
        records = [system.job(job_id) for job_id in jobs]
        assert [(job["status"], job["attempt"]) for job in records] == [("succeeded", 1)] * 30
        assert len(seen.busiest) == 3
        assert max(seen.busiest.values()) == 2
        assert seen.most_of_a_user == 1
        for user in users:
            began = [job["admitted_at"] for job in records if job["user"] == user]
            assert began == sorted(began)
        assert not any("short_of_gpus" in str(system.store.timeline(job_id)) for job_id in jobs)
        system.wait_sound()


def test_20_nodes_at_once(cluster: Plane, trainings: Trainings, folder: Path) -> None:
    """Each of 20 jobs that want a whole node gets one of its own."""
    with running(folder, cluster, *(20 * [2])) as system:
        jobs = [system.submitted(f"user{number}", {"seconds": 600}, gpus=2) for number in range(20)]
        late = system.submitted("late", gpus=2)
        for job_id in jobs:
            system.wait_status(job_id, "running", timeout_s=60)
        assert sorted(str(system.job(job_id)["node"]) for job_id in jobs) == sorted(system.nodes)
        assert system.job(late)["status"] == "queued"
        assert system.violations() == []


class Watched:
    """What the pods of a system looked like at their worst."""

    def __init__(self, system: ClusterSystem) -> None:
        self._system = system
        self.busiest: Counter[str] = (
            Counter()
        )  #: node -> the most GPUs that were wanted there at once
        self.most_of_a_user = 0

    def look(self) -> None:
        pods = self._system.admin.items(self._system.pod_path(""))
        live = [pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
        held: Counter[str] = Counter()
        for pod in live:
            held[_pinned(pod)] += _gpus(pod)
        for node, gpus in held.items():
            self.busiest[node] = max(self.busiest[node], gpus)
        users = Counter(pod["metadata"]["name"].split("-")[1] for pod in live)
        self.most_of_a_user = max([self.most_of_a_user, *users.values()])

    def unfinished(self, jobs: list[str]) -> list[str]:
        return [job_id for job_id in jobs if not self._system.store.job(job_id).phase.is_finished]


def _pinned(pod: dict) -> str:
    required = pod["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    return str(required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])


def _gpus(pod: dict) -> int:
    [main] = [container for container in pod["spec"]["containers"] if container["name"] == "main"]
    return int(main["resources"]["limits"][GPU])
