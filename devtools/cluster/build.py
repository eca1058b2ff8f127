"""Build the programs of the control plane that the cluster tests start, once for each user.

`gomod/` pins everything. A program that the folder KUBEBUILDER_ASSETS holds is used as it is; any
other is built from its Go module and kept below ~/.cache/gpuq/cluster. `make test` runs this module
before the stage `cluster`, because the first build takes minutes.
"""

import fcntl
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from devtools.cluster.build_progress import Progress
from devtools.cluster.go import BuildFailed, run_go

GOMOD = Path(__file__).parent / "gomod"
_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Tool:
    """A program: the folder of `gomod/` that pins it, and its Go package."""

    name: str
    module: str
    package: str


TOOLS = (
    Tool("etcd", "kubernetes", "go.etcd.io/etcd/server/v3"),
    Tool("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    Tool("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    Tool("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    # The version that kubectl 1.34 contains.
    Tool("kustomize", "kustomize", "sigs.k8s.io/kustomize/kustomize/v5"),
)


def binaries() -> dict[str, Path]:
    """Return the path of every program by its name; build the missing ones. Raises BuildFailed."""
    return {tool.name: _given(tool) or _built(tool) for tool in TOOLS}


def missing() -> list[Tool]:
    """Return the programs that have to be built."""
    return [tool for tool in TOOLS if not _given(tool) and not _path(tool).exists()]


def notice(tools: list[Tool]) -> str:
    """Say what is about to be built, how long it takes, where it is kept, how to avoid it."""
    names = ", ".join(tool.name for tool in tools)
    return (
        f"The tests on a real API server need {len(tools)} programs that are not on this machine: "
        f"{names}.\n"
        "They are built once from pinned Go modules, before the stage `cluster`. All six take "
        "about 11 minutes of CPU\n"
        "time: 6 minutes on 2 free cores, up to 30 on a slow or busy machine. They are kept in "
        f"{_cache()}\n"
        "(400 MB; Go keeps 4 GB more in its own caches). To use programs that you have, set "
        "KUBEBUILDER_ASSETS to their\n"
        "folder; to leave these tests out: make test STAGES='unit integration faults docs'."
    )


def workflow_schema() -> dict:
    """Return the OpenAPI schema of Argo's full Workflow CRD, from Argo's published Go module.

    Raises BuildFailed.
    """
    path = _folder("argo") / "workflow-schema.json"
    with _making(path) as fresh:
        if fresh is not None:
            fresh.write_text(json.dumps(_published_schema()), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def main(words: list[str]) -> None:
    """Build what is missing and show the progress; with `--notice` only say what is missing."""
    tools = missing()
    if tools:
        print(notice(tools), flush=True)
    if words == ["--notice"]:
        return
    for number, tool in enumerate(tools, start=1):
        with Progress(f"{tool.name} ({number}/{len(tools)})") as progress:
            _built(tool, progress.count)
    workflow_schema()


def _given(tool: Tool) -> Path | None:
    """Return the program that KUBEBUILDER_ASSETS holds, if it can be run."""
    path = Path(os.environ.get("KUBEBUILDER_ASSETS") or os.devnull) / tool.name
    return path if os.access(path, os.X_OK) else None


def _path(tool: Tool) -> Path:
    return _folder(tool.module) / tool.name


def _built(tool: Tool, on_line: Callable[[str], None] = lambda _: None) -> Path:
    path = _path(tool)
    with _making(path) as fresh:
        if fresh is not None:
            _build(tool, fresh, on_line)
    return path


def _build(tool: Tool, fresh: Path, on_line: Callable[[str], None]) -> None:
    flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", _ldflags(tool.module)]
    words = ["build", "-v", *flags, "-o", str(fresh), tool.package]
    run_go(words, GOMOD / tool.module, f"{tool.name} cannot be built", on_line)


def _ldflags(module: str) -> str:
    """Strip the program, and set Kubernetes' version: its feature gates depend on it."""
    if module != "kubernetes":
        return "-s -w"
    version = _required(module, "k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {_VERSION}.{name}={text}" for name, text in values.items())])


def _required(module: str, path: str) -> str:
    text = (GOMOD / module / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*(?:require )?{re.escape(path)} (v\S+)$", text, re.MULTILINE)
    assert found, f"{path} is not required by {module}/go.mod"
    return found[1]


def _published_schema() -> dict:
    path, version, pinned = (GOMOD / "argo" / "go.sum").read_text(encoding="utf-8").split()
    words = ["mod", "download", "-json", f"{path}@{version}"]
    with tempfile.TemporaryDirectory() as empty:  # outside any module: nothing is compiled
        output = run_go(words, Path(empty), f"{path} cannot be fetched")
    module = json.loads(output)
    if module["Sum"] != pinned:
        raise BuildFailed(
            f"The sum of {path} {version} is {module['Sum']}, but gomod/argo/go.sum has {pinned}."
        )
    folder = Path(module["Dir"]) / "manifests" / "base" / "crds" / "full"
    with (folder / "argoproj.io_workflows.yaml").open(encoding="utf-8") as file:
        loaded = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def _folder(module: str) -> Path:
    """Return the folder of what this module pins: another pin has another folder."""
    pins = b"".join(path.read_bytes() for path in sorted((GOMOD / module).iterdir()))
    flags = b"" if module == "argo" else _ldflags(module).encode()
    return _cache() / f"{module}-{hashlib.sha256(pins + flags).hexdigest()[:16]}"


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gpuq" / "cluster"


@contextmanager
def _making(path: Path) -> Iterator[Path | None]:
    """Yield a path beside `path`, which replaces `path` at the end; None if `path` exists.

    Others that make the same file wait meanwhile.
    """
    if path.exists():
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # another process made it while this one waited
            yield None
            return
        fresh = path.with_name(f".{path.name}.new")
        yield fresh
        fresh.replace(path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except BuildFailed as failure:
        sys.exit(str(failure))
