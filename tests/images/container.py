"""Containers as Kubernetes starts them under Pod Security *restricted*, with runc and without a
cluster.

Read-only root with a /tmp of its own, user 1000 or another one, no capabilities, no new privileges,
no network but its own loopback; what an image says of environment, command and health check is
taken from the image.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STOP_TIMEOUT_S = 30


@dataclass(frozen=True)
class Image:
    """A built image and its mounted root file system."""

    name: str
    root: Path
    config: dict[str, Any] = field(
        repr=False
    )  #: as docker's format has it: Env, Cmd, User, WorkingDir, Healthcheck, …
    size_bytes: int = 0

    def env(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.config["Env"])


class Container:
    """A running container; its output goes to `log`."""

    def __init__(
        self,
        image: Image,
        folder: Path,
        command: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        mounts: Mapping[str, Path] | None = None,
        user: int = 1000,
    ) -> None:
        self.name, self.image = f"gpuq-test-{folder.name}", image
        folder.mkdir()
        spec = _spec(
            folder,
            image,
            command or image.config["Cmd"],
            {**image.env(), **(env or {})},
            mounts or {},
            user,
        )
        (folder / "config.json").write_text(json.dumps(spec), encoding="utf-8")
        self._log = folder / "log"
        with self._log.open("wb") as log:
            argv = ["runc", "run", "--bundle", str(folder), self.name]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the running container, as a probe or `kubectl exec` runs it."""
        return subprocess.run(
            ["runc", "exec", self.name, *command], capture_output=True, text=True, timeout=60
        )

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run the image's own health check."""
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self.execute(*command)

    def stop(self) -> int:
        """SIGTERM to the container's first process, as the kubelet does it; the exit code."""
        subprocess.run(["runc", "kill", self.name, "TERM"], capture_output=True, check=True)
        return self.process.wait(STOP_TIMEOUT_S)

    def remove(self) -> None:
        subprocess.run(["runc", "delete", "--force", self.name], capture_output=True)
        self.process.wait(STOP_TIMEOUT_S)


def _spec(
    folder: Path,
    image: Image,
    command: list[str],
    env: Mapping[str, str],
    mounts: Mapping[str, Path],
    user: int,
) -> dict[str, Any]:
    """runc's own example of a container, made narrower."""
    subprocess.run(["runc", "spec", "--bundle", str(folder)], check=True)
    spec: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    spec["process"] |= {
        "terminal": False,
        "args": command,
        "cwd": image.config["WorkingDir"],
        "env": [f"{name}={value}" for name, value in env.items()],
        "user": {"uid": user, "gid": user},
        "capabilities": {},
        "noNewPrivileges": True,
    }
    spec["root"] = {"path": str(image.root), "readonly": True}
    spec["mounts"] += [
        {
            "destination": "/tmp",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777"],
        },
        *(
            {"destination": at, "type": "bind", "source": str(of), "options": ["rbind"]}
            for at, of in mounts.items()
        ),
    ]
    return spec
