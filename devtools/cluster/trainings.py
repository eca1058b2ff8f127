"""This module simulates trainings in kwok's pods, which end as their config or a test says.

The config is what the toy trainer of the other tests reads, too: `{seconds: 0.3, exit: 1}`; without
`seconds` it trains until it is told to end. `reason` is how the kubelet would call that end
(`OOMKilled`), `progress` what Argo would show.
"""

import threading
import time
from datetime import UTC, datetime
from typing import Any

import requests
import yaml

from devtools.cluster.api import Api, ApiError, Object
from devtools.cluster.controller import ANNOTATION_SIGNAL
from devtools.cluster.pod import LABEL_WORKFLOW, path_of

_TICK_S = 0.1
_TERMINATED = 143
_EVICTED = {"reason": "Evicted", "message": "The node was low on resource: memory."}
_DEADLINE = {
    "reason": "DeadlineExceeded",
    "message": "Pod was active on the node longer than the specified deadline",
}


class Trainings:
    """The trainings run in a thread between `start` and `stop`."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainings", daemon=True)
        self._configs: dict[str, Object] = {}
        self.ran: list[
            tuple[str, str, float, float]
        ] = []  #: (pod, node, began, ended) of all that ended here
        self.errors: list[str] = []

    def start(self) -> "Trainings":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=30)

    def end(
        self, pod: Object, code: int, reason: str = "", message: str = "", **status: str
    ) -> None:
        """Report the container's end as the kubelet does, with `status` (`reason: Evicted`)."""
        now = _now()
        began = pod["status"].get("startTime", now)
        containers = []
        for container in pod["spec"]["containers"]:
            own = code if container["name"] == "main" else 0
            ended = {
                "exitCode": own,
                "reason": (own and reason) or ("Error" if own else "Completed"),
            }
            ended |= {
                "startedAt": began,
                "finishedAt": now,
                **({"message": message} if own and message else {}),
            }
            known = {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": False,
            }
            containers.append({**known, "restartCount": 0, "state": {"terminated": ended}})
        phase = "Failed" if code or status else "Succeeded"
        self._set_status(pod, {"phase": phase, "containerStatuses": containers, **status})
        self.ran.append(
            (pod["metadata"]["name"], pod["spec"]["nodeName"], _seconds(began), time.time())
        )

    def evict(self, pod: Object) -> None:
        """Fail a pod with a reason, but keep it, as the kubelet does under pressure."""
        self.end(pod, 137, **_EVICTED)

    def wait_with(self, pod: Object, reason: str, message: str) -> None:
        """Report why the container does not start (`ErrImagePull`), as the kubelet does."""
        known = {"ready": False, "restartCount": 0, "imageID": ""}
        waiting = {"state": {"waiting": {"reason": reason, "message": message}}}
        names = [(container["name"], container["image"]) for container in pod["spec"]["containers"]]
        statuses = [{"name": name, "image": image, **known, **waiting} for name, image in names]
        self._set_status(pod, {"containerStatuses": statuses})

    def _set_status(self, pod: Object, status: Object) -> None:
        self._api.patch(f"{path_of(pod)}/status", {"status": status})

    # -- by themselves -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                running = {"labelSelector": LABEL_WORKFLOW, "fieldSelector": "status.phase=Running"}
                for pod in self._api.items("/api/v1/pods", **running):
                    self._look_at(pod)
            except requests.RequestException:
                pass  # the API server is away for a while: some tests do that
            except ApiError as error:
                if error.status not in (401, 403, 404, 409, 429, 500, 503):
                    self.errors.append(str(error))
            except Exception as error:  # noqa: BLE001 (read when the session ends)
                self.errors.append(repr(error))

    def _look_at(self, pod: Object) -> None:
        status = pod["status"]
        if "deletionTimestamp" in pod["metadata"]:
            return
        config, age = self._config(pod), time.time() - _seconds(status["startTime"])
        if pod["metadata"]["annotations"].get(ANNOTATION_SIGNAL):
            if not config.get("deaf"):
                self.end(pod, _TERMINATED)
        elif age >= pod["spec"].get("activeDeadlineSeconds", 1e9):
            self.end(pod, _TERMINATED, **_DEADLINE)
        elif "seconds" in config and age >= config["seconds"]:
            self.end(pod, int(config.get("exit", 0)), str(config.get("reason", "")))

    def _config(self, pod: Object) -> dict[str, Any]:
        """Return the job's config as the container reads it; without one it trains for ever."""
        uid = pod["metadata"]["uid"]
        if uid not in self._configs:
            names = [
                volume["configMap"]["name"]
                for volume in pod["spec"]["volumes"]
                if "configMap" in volume
            ]
            found = self._api.get(
                f"/api/v1/namespaces/{pod['metadata']['namespace']}/configmaps/{names[0]}"
            )
            self._configs[uid] = yaml.safe_load(found["data"]["config"]) or {}
        return self._configs[uid]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
