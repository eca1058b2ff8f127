"""This module has the control plane, Argo's double and a witness for the cluster benchmarks.

etcd, API server, controller-manager and scheduler are the real ones; kwok simulates the nodes, and
the tests' doubles simulate Argo's controller and the containers.
"""

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from devtools.cluster.api import Api, Object
from devtools.cluster.controller import Controller
from devtools.cluster.plane import Plane, running_plane
from devtools.cluster.system import ClusterSystem
from devtools.cluster.trainings import Trainings

FINAL = ("Succeeded", "Failed", "Error")
#: As deployed, but for what keeps a thousand submissions of one afternoon out.
DEPLOYED = {
    "POLL_INTERVAL_S": "10",
    "LEASE_S": "10",
    "MAX_RUNNING_JOBS": "1",
    "MAX_QUEUED_PER_USER": "10000",
}


@contextlib.contextmanager
def clusters() -> Iterator[Plane]:
    """Yield a control plane whose workflows run and end; errors of its doubles are raised."""
    with tempfile.TemporaryDirectory() as folder, running_plane(Path(folder) / "plane") as plane:
        controller = Controller(Api(plane.kubeconfig_of("argo", "system:masters"))).start()
        trainings = Trainings(Api(plane.kubeconfig_of("trainings", "system:masters"))).start()
        try:
            yield plane
        finally:
            trainings.stop()
            controller.stop()
        assert not controller.errors + trainings.errors, controller.errors + trainings.errors


@contextlib.contextmanager
def systems(plane: Plane, *nodes: int, **env: str) -> Iterator[ClusterSystem]:
    """Yield a gpuq without its scheduler: call `start_one("scheduler")` when all is queued."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "system"
        path.mkdir()
        system = ClusterSystem(path, plane, nodes, **{**DEPLOYED, **env})
        try:
            yield system.start("redis", "queue_manager")
        finally:
            system.stop()


class Witness(threading.Thread):
    """The witness watches the workflows: when (s since the epoch) each was created and ended.

    It ends with the control plane.
    """

    def __init__(self, system: ClusterSystem) -> None:
        super().__init__(daemon=True)
        self.made: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self._events = Api(system.cluster.kubeconfig).watch(system.workflow_path("").rstrip("/"))
        self.start()

    def run(self) -> None:
        with contextlib.suppress(requests.RequestException):
            for line in self._events.iter_lines(chunk_size=None):
                self.see(json.loads(line)["object"], time.time())

    def see(self, workflow: Object, now: float) -> None:
        name = workflow["metadata"]["name"]
        if name not in self.made:
            self.made[name] = now
            self.on_made(name)
        if name not in self.ended and workflow.get("status", {}).get("phase") in FINAL:
            self.ended[name] = now
            self.on_end(name)

    def on_made(self, name: str) -> None:
        pass

    def on_end(self, name: str) -> None:
        pass
