"""Several nodes: one that cannot give what it promised, one that stops answering; and a Redis that
has forgotten.
"""

import os
import subprocess
import sys

import requests

from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings
from devtools.testbed.system import wait_for

NODES = (1, 1)


def test_a_job_is_withdrawn_from_a_node_that_has_no_gpu_for_it(system: ClusterSystem) -> None:
    """Somebody else's pod holds the GPU that the monitor calls free: it starts elsewhere, under the
    same name.
    """
    first, second = system.nodes
    system.monitors.busy[second] = (0,)
    with system.gpus_taken(first):
        job_id = system.submitted("zoe", {"seconds": 600})
        system.wait_reason(job_id, "Insufficient nvidia.com/gpu")
        system.monitors.busy.clear()
        job = system.wait_status(job_id, "running")
    assert (job["node"], job["attempt"]) == (second, 1)
    assert system.workflows_of(job_id) == [system.workflow_name(job_id)]
    system.cancel(job_id)
    system.wait_status(job_id, "cancelled")
    system.wait_sound()


def test_an_emptied_redis_is_filled_again(system: ClusterSystem, trainings: Trainings) -> None:
    """What runs is never stopped, and what ran is known again: from the Workflows' labels and
    annotations.
    """
    over = system.submitted("max", {"seconds": 0})
    system.wait_status(over, "succeeded")
    job_id = system.submitted("ida", {"seconds": 600})
    pod = system.wait_pod(job_id)
    before = system.wait_status(job_id, "running")
    system.empty_redis()
    wait_for("it is known again", lambda: _known(system, job_id) and _known(system, over))
    after = system.wait_status(job_id, "running")
    same = ("user", "config", "workdir", "attempt", "node", "started_at")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert system.job(over)["status"] == "succeeded"
    trainings.end(pod, 0)
    assert system.wait_status(job_id, "succeeded")["attempt"] == 1
    system.wait_sound()


def test_it_comes_back(system: ClusterSystem, trainings: Trainings) -> None:
    job_id = system.submitted("ann", {"seconds": 600})
    pod = system.wait_pod(job_id)
    system.wait_status(job_id, "running")
    node = pod["spec"]["nodeName"]
    system.monitors.silent.add(node)
    system.lose_node(node)
    system.age(job_id)
    code, _ = system.wait_reason(job_id, f"gpuq admin node dead {node}")
    assert code == "node_lost"
    assert system.job(job_id)["status"] == "running"
    system.find_node(node)
    system.monitors.silent.discard(node)
    system.restart_scheduler()  # one that has not the node's last answer in mind
    system.wait_reason(job_id, "running")
    trainings.end(pod, 0)
    assert system.wait_status(job_id, "succeeded")["attempt"] == 1
    system.wait_sound()


def test_it_is_declared_dead(system: ClusterSystem, trainings: Trainings) -> None:
    job_id = system.submitted("ben", {"seconds": 600})
    node = system.wait_pod(job_id)["spec"]["nodeName"]
    system.wait_status(job_id, "running")
    system.monitors.silent.add(node)
    system.lose_node(node)
    system.age(job_id)
    system.restart_scheduler()
    system.wait_reason(job_id, "node_lost")
    _admin(system, "node", "dead", node)
    resumed = system.wait_resumed(job_id)
    assert resumed["node"] != node
    assert system.workflows_of(job_id) == [
        system.workflow_name(job_id),
        f"{system.workflow_name(job_id)}-r2",
    ]


def _known(system: ClusterSystem, job_id: str) -> bool:
    return requests.get(f"{system.api}/jobs/{job_id}", timeout=10).status_code == 200


def _admin(system: ClusterSystem, *words: str) -> None:
    command = [sys.executable, "-m", "gpuq", "admin", *words]
    env = {**os.environ, "REDIS_URL": system.redis_url, "PYTHONPATH": system.env["PYTHONPATH"]}
    subprocess.run([*command], env=env, check=True, capture_output=True, timeout=30, input=b"y\n")
