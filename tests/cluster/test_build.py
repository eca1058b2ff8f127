"""The programs of the control plane: where they come from, and what a user sees of their build."""

import io
import threading
import time
from pathlib import Path

import pytest

from devtools.cluster import build
from devtools.cluster.build_progress import Progress
from devtools.cluster.go import BuildFailed, go


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gpuq" / "cluster"


def test_a_program_in_kubebuilder_assets_is_used_as_it_is(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tool in build.TOOLS:
        (tmp_path / tool.name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert build.binaries() == {tool.name: tmp_path / tool.name for tool in build.TOOLS}
    assert build.missing() == []
    assert not cache.exists()


def test_the_notice_names_programs_place_and_how_to_avoid_the_build(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    build.main(["--notice"])
    text = capsys.readouterr().out
    for word in (*(tool.name for tool in build.TOOLS), str(cache), "KUBEBUILDER_ASSETS"):
        assert word in text
    assert not cache.exists()


def test_nothing_is_printed_when_every_program_is_there(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for tool in build.TOOLS:
        (tmp_path / tool.name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    build.main(["--notice"])
    assert capsys.readouterr().out == ""


def test_progress_counts_packages_and_prints_a_line_again_and_again() -> None:
    out = io.StringIO()
    with Progress("etcd (1/6)", out, every_s=0.05) as progress:
        for line in ("go.etcd.io/raft/v3", "go: downloading go.etcd.io/raft/v3 v3.6.0", "runtime"):
            progress.count(line)
        time.sleep(0.3)
    lines = out.getvalue().splitlines()
    assert lines[0] == "etcd (1/6): started, 0 packages compiled, 0:00"
    assert lines.count("etcd (1/6): building, 2 packages compiled, 0:00") >= 2
    assert lines[-1] == "etcd (1/6): done, 2 packages compiled, 0:00"


def test_a_build_that_failed_ends_its_progress_with_that_word() -> None:
    out = io.StringIO()
    with pytest.raises(BuildFailed), Progress("kwok (2/2)", out):
        raise BuildFailed("no")
    assert out.getvalue().splitlines()[-1] == "kwok (2/2): failed, 0 packages compiled, 0:00"


def test_what_go_reports_reaches_the_callback_line_by_line(cache: Path) -> None:
    seen: list[str] = []
    tool = build.Tool("nothing", "kwok", "sigs.k8s.io/kwok/cmd/nothing")
    with pytest.raises(BuildFailed):
        build._built(tool, seen.append)
    assert any("sigs.k8s.io/kwok/cmd/nothing" in line for line in seen)


def test_without_go_on_the_path_the_one_of_the_wheel_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "site-packages" in go()


def test_a_build_that_fails_is_reported_and_leaves_nothing(cache: Path) -> None:
    tool = build.Tool("nothing", "kwok", "sigs.k8s.io/kwok/cmd/nothing")
    with pytest.raises(
        BuildFailed, match=r"^nothing cannot be built from the Go modules pinned in .*: \S"
    ):
        build._built(tool)
    assert list(cache.rglob("nothing")) == []


def test_two_processes_build_a_program_once(tmp_path: Path) -> None:
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


def test_another_pin_has_another_folder(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build._folder("kwok")
    (tmp_path / "gomod" / "kwok").mkdir(parents=True)
    for file in (build.GOMOD / "kwok").iterdir():
        (tmp_path / "gomod" / "kwok" / file.name).write_text(f"{file.read_text()}\n")
    monkeypatch.setattr(build, "GOMOD", tmp_path / "gomod")
    assert build._folder("kwok").parent == before.parent == cache
    assert build._folder("kwok") != before
