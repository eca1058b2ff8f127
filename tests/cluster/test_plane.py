"""The control plane under the other tests: what they rely on is really on."""

import pytest

from devtools.cluster.api import ApiError
from devtools.cluster.plane import LOG_LINES, Plane
from devtools.testbed.system import wait_for


def pod(name: str, **spec: object) -> dict:
    container = {
        "name": "main",
        "image": "busybox",
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    safe = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    body = {"containers": [container], "securityContext": safe, "restartPolicy": "Never", **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def test_a_pod_is_scheduled_run_logged_and_deleted(cluster: Plane) -> None:
    cluster.add_namespace("plane")
    cluster.add_nodes({"plane-1": 1})
    pods = "/api/v1/namespaces/plane/pods"
    try:
        cluster.admin.post(pods, pod("one"))
        wait_for(
            "it runs", lambda: cluster.admin.get(f"{pods}/one")["status"]["phase"] == "Running"
        )
        assert cluster.admin.get(f"{pods}/one")["spec"]["nodeName"] == "plane-1"
        log = cluster.admin.get(f"{pods}/one/log", container="main", tailLines="2")
        assert log.splitlines() == list(LOG_LINES[-2:])
        cluster.admin.post(pods, pod("two"))
        wait_for(
            "no GPU is left",
            lambda: "Insufficient nvidia.com/gpu" in str(cluster.admin.get(f"{pods}/two")),
        )
        cluster.admin.delete(f"{pods}/one")
        wait_for(
            "the other one runs",
            lambda: cluster.admin.get(f"{pods}/two")["status"]["phase"] == "Running",
        )
        wait_for("the first one is gone", lambda: cluster.admin.find(f"{pods}/one") is None)
    finally:
        cluster.remove_node("plane-1")


def test_pod_security_is_enforced(cluster: Plane) -> None:
    cluster.add_namespace("strict")
    with pytest.raises(ApiError, match="violates PodSecurity") as refused:
        cluster.admin.post("/api/v1/namespaces/strict/pods", pod("root", securityContext={}))
    assert refused.value.status == 403


def test_rbac_is_enforced(cluster: Plane) -> None:
    cluster.add_namespace("nobody")
    account = cluster.api_of_account("nobody", "default")
    with pytest.raises(ApiError) as refused:
        account.get("/api/v1/namespaces/nobody/pods")
    assert refused.value.status == 403
    assert not account.may("list", "pods", "nobody")
    assert cluster.admin.may("list", "pods", "nobody")
