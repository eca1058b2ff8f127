"""Whose a process is: known on the machine itself, unknown in a container, and never waited for."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resource_monitor.readings.owners import FIRST_NAMESPACE, Owners

EXT4 = "/dev/sda1 / ext4 rw 0 0\noverlay /var/lib/docker/merged overlay rw 0 0\n"


def eventually(holds: Callable[[], object], within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _not_in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def proc(folder: Path, namespace: str = FIRST_NAMESPACE, mounts: str = EXT4) -> Path:
    (folder / "self" / "ns").mkdir(parents=True)
    (folder / "self" / "ns" / "pid").symlink_to(namespace)
    (folder / "self" / "mounts").write_text(mounts)
    (folder / "4242").mkdir()
    (folder / "4242" / "status").write_text(
        "Name:\tpython\nPid:\t4242\nUid:\t1003\t0\t0\t0\nGid:\t1\t1\t1\t1\n"
    )
    return folder


def name_of(uid: int) -> str:
    return {1003: "bob"}[uid]


def test_a_pid_and_its_users_name_on_the_machine_itself(tmp_path: Path) -> None:
    owners = Owners(proc(tmp_path), name_of)
    assert owners.pid(4242) == 4242
    eventually(lambda: owners.user(4242) == "bob")


def test_a_process_that_has_ended_or_is_hidden_keeps_its_pid_alone(tmp_path: Path) -> None:
    owners = Owners(proc(tmp_path), name_of)
    assert (owners.pid(9), owners.user(9)) == (9, None)


def test_in_a_namespace_of_its_own_neither_is_known(tmp_path: Path) -> None:
    owners = Owners(proc(tmp_path, "pid:[4026533999]"), name_of)
    assert (owners.pid(4242), owners.user(4242)) == (None, None)


@pytest.mark.parametrize(
    "root", ["overlay / overlay rw 0 0\n", "fuse-overlayfs / fuse.fuse-overlayfs rw 0 0\n"]
)
def test_a_container_with_the_hosts_pids_knows_no_names(tmp_path: Path, root: str) -> None:
    asked: list[int] = []
    owners = Owners(proc(tmp_path, mounts=root), lambda uid: asked.append(uid) or "app")
    assert (owners.pid(4242), owners.user(4242), asked) == (4242, None, [])


def test_a_pod_with_the_hosts_pids_knows_no_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    owners = Owners(proc(tmp_path), name_of)
    assert (owners.pid(4242), owners.user(4242)) == (4242, None)


def test_no_proc_at_all_is_unknown(tmp_path: Path) -> None:
    owners = Owners(tmp_path / "none", name_of)
    assert (owners.pid(1), owners.user(1)) == (None, None)


def test_a_directory_server_that_hangs_holds_nobody_up_and_is_asked_once(tmp_path: Path) -> None:
    answer, asked = threading.Event(), []

    def slow(uid: int) -> str:
        asked.append(uid)
        answer.wait(30)
        return "bob"

    owners = Owners(proc(tmp_path), slow)
    began = time.monotonic()
    assert [owners.user(4242) for _ in range(3)] == [None] * 3
    assert time.monotonic() - began < 5
    answer.set()
    eventually(lambda: owners.user(4242) == "bob")
    assert asked == [1003]


def test_a_user_without_a_name_stays_unknown(tmp_path: Path) -> None:
    asked: list[int] = []

    def unknown(uid: int) -> str:
        asked.append(uid)
        raise KeyError(uid)

    owners = Owners(proc(tmp_path), unknown)
    assert owners.user(4242) is None
    eventually(lambda: asked)
    assert owners.user(4242) is None
    assert asked == [1003]
