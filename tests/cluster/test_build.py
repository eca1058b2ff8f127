"""Where the control plane's binaries come from."""

import threading
from pathlib import Path

import pytest

from devtools.cluster import build


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gpuq" / "cluster"


def test_what_kubebuilder_assets_names_is_used_as_it_is(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in build.TOOLS:
        (tmp_path / tool.name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert build.binaries() == {tool.name: tmp_path / tool.name for tool in build.TOOLS}
    assert not cache.exists()


def test_without_go_on_the_path_the_wheels_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "site-packages" in build.go()


def test_a_build_that_fails_says_so_and_leaves_nothing(cache: Path) -> None:
    tool = build.Tool("nothing", "kwok", "sigs.k8s.io/kwok/cmd/nothing")
    with pytest.raises(
        build.BuildFailed, match=r"^nothing cannot be built from the Go modules pinned in .*: \S"
    ):
        build._built(tool)
    assert list(cache.rglob("nothing")) == []


def test_two_at_once_build_once(tmp_path: Path) -> None:
    path, made, both = tmp_path / "cache" / "tool", [], threading.Barrier(2)

    def make() -> None:
        both.wait()
        with build._making(path) as fresh:
            if fresh is not None:
                made.append(fresh)
                fresh.write_text("built")

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert path.read_text() == "built"
    assert [file.name for file in path.parent.iterdir() if not file.name.endswith(".lock")] == [
        "tool"
    ]


def test_another_pin_is_another_folder(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build._folder("kwok")
    (tmp_path / "gomod" / "kwok").mkdir(parents=True)
    for file in (build.GOMOD / "kwok").iterdir():
        (tmp_path / "gomod" / "kwok" / file.name).write_text(f"{file.read_text()}\n")
    monkeypatch.setattr(build, "GOMOD", tmp_path / "gomod")
    assert build._folder("kwok").parent == before.parent == cache
    assert build._folder("kwok") != before
