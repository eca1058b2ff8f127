"""One control plane for all tests of this folder, Argo's double, played trainings; each module has
a gpuq of its own.

With GPUQ_E2E=1 (`make e2e`) it is the cluster that KUBECONFIG names instead, and nothing is played.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.cluster.api import Api
from devtools.cluster.cluster import Cluster, RealCluster
from devtools.cluster.controller import Controller
from devtools.cluster.plane import Plane, running_plane
from devtools.cluster.system import ClusterSystem, running
from devtools.cluster.trainings import Trainings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers a module stays on one of them: it has a gpuq of its own, and each worker
    a control plane.
    """
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running control plane: `kubeconfig`, `ca`, `url`, `admin` (see devtools/cluster/api.py)."""
    folder = tmp_path_factory.mktemp("cluster") / "plane"
    if os.environ.get("GPUQ_E2E") == "1":
        yield RealCluster(folder, Path(os.environ["KUBECONFIG"]))
        return
    with running_plane(folder) as plane:
        yield plane


@pytest.fixture(scope="session")
def argo(cluster: Plane) -> Iterator[Controller]:
    """Yield the double of Argo's controller, for every namespace of the control plane."""
    controller = Controller(Api(cluster.kubeconfig_of("argo", "system:masters"))).start()
    yield controller
    controller.stop()
    assert controller.errors == []


@pytest.fixture(scope="session")
def trainings(cluster: Plane, argo: Controller) -> Iterator[Trainings]:
    """What happens inside the pods."""
    trainings = Trainings(Api(cluster.kubeconfig_of("trainings", "system:masters"))).start()
    yield trainings
    trainings.stop()
    assert trainings.errors == []


@pytest.fixture(scope="module")
def system(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterSystem]:
    """A gpuq of this module's own, on the `NODES` (GPUs of each) and with the `SETTINGS` that the
    module names.
    """
    if isinstance(cluster, Plane):
        request.getfixturevalue("trainings")
    nodes: tuple[int, ...] = getattr(request.module, "NODES", (8,))
    settings: dict[str, str] = getattr(request.module, "SETTINGS", {})
    folder = tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2]) / "system"
    with running(folder, cluster, *nodes, **settings) as system:
        yield system
