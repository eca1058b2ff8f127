"""`gpuq up` before it starts anything, and its parts; each failure is one sentence."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuq.errors import GpuqFailure
from gpuq.output.progress import PhaseView
from gpuq.remote.client import Client
from gpuq.up import ports, preflight, process, redis_server
from gpuq.up.demo import Demo
from gpuq.up.folder import FREE_BYTES_NEEDED, Folder, default_root
from gpuq.up.services import STOP_ORDER, Ports, make_environment, make_services
from gpuq.up.supervisor import MOST_PAUSE_S, Child, Service


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def one_sentence(failure: pytest.ExceptionInfo[GpuqFailure]) -> str:
    text = str(failure.value)
    assert "\n" not in text
    return text


# -- preflight -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "remedy"), [("torch", "the extra trainer"), ("flask", "the extra local")]
)
def test_a_missing_package_is_named_with_the_remedy(missing: str, remedy: str) -> None:
    with pytest.raises(GpuqFailure) as failure:
        preflight.check_packages(installed=lambda module: module != missing)
    assert missing in one_sentence(failure)
    assert "make setup" in str(failure.value)
    assert remedy in str(failure.value)
    assert "pip install" not in str(failure.value)  # PyPI's gpuq is another project


def test_installed_packages_are_found() -> None:
    assert preflight.is_installed("click")
    assert not preflight.is_installed("no_such_package")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "gpu-1", "::"])
def test_beyond_loopback_tokens_are_always_needed(host: str) -> None:
    assert preflight.choose_auth(host, None, is_demo=False) == "token"
    assert preflight.choose_auth(host, "off", is_demo=False) == "token"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_on_loopback_tokens_are_off_unless_requested(host: str) -> None:
    assert preflight.choose_auth(host, None, is_demo=True) == "off"
    assert preflight.choose_auth(host, "token", is_demo=False) == "token"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0", "--demo"], "--demo runs without tokens"),
        (["--host", ""], "--host must be"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_made(
    gpuq: Callable[..., Any], tmp_path: Path, options: list[str], says: str
) -> None:
    ran = gpuq("up", *options, "--data-dir", str(tmp_path / "new"))
    assert ran.code == 1
    assert ran.err.startswith(says)
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_gpu_is_found_by_its_device_file_or_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not preflight.has_nvidia_gpu(tmp_path / "nvidia0")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert preflight.has_nvidia_gpu(tmp_path / "nvidia0")
    (tmp_path / "nvidia-smi").unlink()
    (tmp_path / "nvidia0").touch()
    assert preflight.has_nvidia_gpu(tmp_path / "nvidia0")


# -- ports ---------------------------------------------------------------------------------------


def test_a_taken_port_is_reported_with_its_process_and_the_option(taken: int) -> None:
    with pytest.raises(GpuqFailure) as failure:
        ports.check_free("127.0.0.1", taken, "--redis-port")
    said = one_sentence(failure)
    assert f"Port {taken} is taken" in said
    assert f"pid {os.getpid()}" in said
    assert "--redis-port" in said


def test_an_address_of_another_machine_is_not_reported_as_taken() -> None:
    with pytest.raises(GpuqFailure) as failure:
        ports.check_free("192.0.2.1", 8081, "--port")  # a documentation address: no machine has it
    assert "cannot be used" in one_sentence(failure)


def test_a_port_that_is_taken_on_another_address_only_is_free(taken: int) -> None:
    ports.check_free("127.0.0.77", taken, "--port")
    assert ports.is_free("127.0.0.77", taken)
    assert not ports.is_free("127.0.0.1", taken)


def test_a_server_can_listen_on_a_free_port() -> None:
    host = "127.0.0.78"  # an address that nobody else uses
    with socket.create_server((host, ports.free_port(host))) as listener:
        assert listener.getsockname()[0] == host


@pytest.mark.parametrize("option", ["--port", "--monitor-port", "--redis-port"])
def test_up_refuses_each_taken_port(
    gpuq: Callable[..., Any], tmp_path: Path, taken: int, option: str
) -> None:
    options = {
        name: str(ports.free_port("127.0.0.1"))
        for name in ("--port", "--monitor-port", "--redis-port")
    }
    words = [word for pair in {**options, option: str(taken)}.items() for word in pair]
    # Asked for explicitly, so the demo does not use another port either.
    ran = gpuq("up", "--data-dir", str(tmp_path), "--demo", *words)
    assert ran.code == 1
    assert f"Port {taken} is taken" in ran.err
    assert option in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_same_port_for_two_services_is_refused(
    gpuq: Callable[..., Any], tmp_path: Path
) -> None:
    ran = gpuq("up", "--data-dir", str(tmp_path), "--port", "8080")
    assert ran.code == 1
    assert "three different ports" in ran.err


# -- folder --------------------------------------------------------------------------------------


def test_the_folder_is_made_with_the_shipped_configs(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    os.close(folder.prepare())
    assert (folder.configs / "demo.yaml").is_file()
    assert (folder.data / "datasets").is_dir()
    assert folder.host_path("/data/ann/x") == tmp_path / "new" / "data" / "ann" / "x"


def test_a_changed_config_is_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.configs.mkdir()
    (folder.configs / "demo.yaml").write_text("mine: 1\n")
    os.close(folder.prepare())
    assert (folder.configs / "demo.yaml").read_text() == "mine: 1\n"


def test_a_second_gpuq_up_on_the_folder_is_refused(
    gpuq: Callable[..., Any], tmp_path: Path
) -> None:
    lock = Folder(tmp_path).prepare()
    ran = gpuq("up", "--data-dir", str(tmp_path))
    assert ran.code == 1
    assert f"Another gpuq up (pid {os.getpid()}) uses {tmp_path}" in ran.err
    assert len(ran.err.splitlines()) == 1
    os.close(lock)
    os.close(Folder(tmp_path).prepare())


def test_what_a_killed_gpuq_up_leaves_behind_is_awaited(tmp_path: Path) -> None:
    """The lock is still held, but the process whose pid is in it has ended."""
    folder = Folder(tmp_path)
    lock = folder.prepare()
    gone = subprocess.Popen(["true"])
    gone.wait()
    os.truncate(lock, 0)
    os.pwrite(lock, str(gone.pid).encode(), 0)
    straggler = subprocess.Popen(["sleep", "0.5"], pass_fds=(lock,))
    os.close(lock)
    os.close(folder.prepare())
    assert straggler.wait() == 0


def test_too_little_space_is_reported(tmp_path: Path) -> None:
    with pytest.raises(GpuqFailure) as failure:
        Folder(tmp_path).prepare(free_bytes=lambda _path: FREE_BYTES_NEEDED - 1)
    assert "199 MB free" in one_sentence(failure)
    os.close(Folder(tmp_path).prepare(free_bytes=lambda _path: FREE_BYTES_NEEDED))


def test_an_unwritable_folder_is_reported(gpuq: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = gpuq("up", "--data-dir", str(tmp_path / "file" / "below"))
    assert ran.code == 1
    assert "Not a directory" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    assert default_root() == Path("/x/gpuq")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_root() == Path("~/.local/share/gpuq").expanduser()


# -- services ------------------------------------------------------------------------------------

PORTS = Ports("127.0.0.1", 8081, 8080, 6379)


def test_settings_are_passed_on_except_those_that_up_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    monkeypatch.setenv("MEMORY_PERCENT", "95")
    monkeypatch.setenv("GPUQ_TOKEN", "gpuq_mine")
    env = make_environment(Folder(tmp_path), PORTS, lifeline=7, has_gpu=False, cpu_gate=False)
    wanted = {
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "MEMORY_PERCENT": "95",
        "REQUIRE_GPU": "false",
        "CPU_PERCENT": "off",
        "LIFELINE_FD": "7",
        "DATA_ROOT": str(tmp_path / "data"),
        "RESOURCE_MONITOR_URL": "http://127.0.0.1:8080",
    }
    assert {name: env[name] for name in wanted} == wanted
    assert "GPUQ_TOKEN" not in env
    assert Path(env["WORKFLOW_TEMPLATE"]).is_file()


def test_with_a_gpu_the_gates_are_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUIRE_GPU", raising=False)
    monkeypatch.delenv("CPU_PERCENT", raising=False)
    env = make_environment(Folder(tmp_path), PORTS, lifeline=7, has_gpu=True, cpu_gate=True)
    assert not {"REQUIRE_GPU", "CPU_PERCENT"} & env.keys()


def test_start_and_stop_order(tmp_path: Path) -> None:
    names = [
        service.name for service in make_services(Folder(tmp_path), PORTS, {}, lifeline=7, lock=8)
    ]
    assert names == ["redis", "resource-monitor", "queue-manager", "scheduler"]
    assert sorted(names) == sorted(STOP_ORDER)


def test_redis_is_configured_to_lose_nothing() -> None:
    words = redis_server.command("redis-server", 6379, Path("/x"))
    settings = dict(zip(words[1::2], words[2::2], strict=True))
    assert settings["--bind"] == "127.0.0.1"
    assert (settings["--appendonly"], settings["--appendfsync"]) == ("yes", "always")
    assert (settings["--maxmemory-policy"], settings["--save"]) == ("noeviction", "")


def test_a_server_that_is_not_redis_does_not_count(taken: int, server: Any) -> None:
    assert redis_server.ping(ports.free_port("127.0.0.1")) is not None
    assert redis_server.ping(int(server.url.rpartition(":")[2])) is not None


# -- demo ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["queued", "admitted", "running"])
def test_an_interrupted_demo_is_followed_and_not_submitted_again(
    server: Any, make_job: Callable[..., Any], tmp_path: Path, status: str
) -> None:
    server.on("GET /status/demo", make_job(status, job_id="demo_1"))
    server.on("GET /jobs/demo_1", make_job(status, job_id="demo_1"))
    server.on("GET /jobs/demo_1/metrics?since=0", b"")
    demo = Demo(Client(server.url), Folder(tmp_path), PhaseView())
    assert not demo.is_over()
    assert not any(asked.call == "POST /submit" for asked in server.asked)


def test_a_demo_submits_its_job_and_ends_with_it(
    server: Any, make_job: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"checkpoint": "/data/demo/runs/demo_2/checkpoints/best.pth"}
    server.on("GET /status/demo", {"status": "succeeded", "job_id": "demo_1"})
    server.on("POST /submit", {"job_id": "demo_2"}, status=202)
    server.on("GET /jobs/demo_2", make_job("succeeded", job_id="demo_2", result=paths))
    server.on("GET /jobs/demo_2/metrics?since=0", b'{"kind":"epoch","best_top1":97.5}\n')
    demo = Demo(Client(server.url), Folder(tmp_path), PhaseView())
    assert demo.is_over()
    demo.report()
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "succeeded: best top-1 97.5 %",
        f"  checkpoint {tmp_path}/data/demo/runs/demo_2/checkpoints/best.pth",
    ]
    submitted = next(asked.body for asked in server.asked if asked.call == "POST /submit")
    assert {
        "user": "demo",
        "config": "demo.yaml",
        "workdir": "/data/demo",
    }.items() <= submitted.items()


# -- processes -----------------------------------------------------------------------------------


def sleeper(seconds: float = 60) -> list[str]:
    return [sys.executable, "-c", f"import time; time.sleep({seconds})"]


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, time; from gpuq.up import process\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r})\n"
        f"child = process.spawn({sleeper()!r}, os.environ, log)\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not has_ended(child)
        parent.kill()
        wait_until(lambda: has_ended(child))


def test_sigkill_follows_if_sigterm_is_ignored(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(1, flush=True); time.sleep(60)"
    )
    stubborn = process.spawn([sys.executable, "-c", code], os.environ, tmp_path / "log")
    wait_until(lambda: (tmp_path / "log").read_text() != "")
    process.end(stubborn, lambda: 0.1)
    assert stubborn.returncode == -signal.SIGKILL


def test_orphans_of_a_service_become_our_children_and_are_ended(tmp_path: Path) -> None:
    """It runs in a process of its own, because this one has other children."""
    code = (
        "import os, pathlib, sys; from gpuq.up import process\n"
        "process.become_subreaper()\n"
        "leaves = ['bash', '-c', 'trap \"\" TERM; setsid sleep 60 & echo $!']\n"
        "log = pathlib.Path(sys.argv[1])\n"
        "process.spawn(leaves, os.environ, log).wait()\n"
        "left = int(log.read_text()); assert process.children() == [left], process.children()\n"
        "process.end_orphans(lambda: 0.7, print); assert process.children() == []; print(left)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert ran.returncode == 0, ran.stderr
    said, left = ran.stdout.splitlines()
    assert said.startswith("Waiting up to 1 s for running trainings")
    assert has_ended(int(left))


def test_a_dead_service_is_restarted_after_a_growing_pause(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [sys.executable, "-c", "print('I had to go'); raise SystemExit(7)"]
    child = Child(Service("toy", argv, os.environ, lambda: None), tmp_path / "toy.log")
    child.start()
    assert child.process is not None
    child.process.wait()
    child.check()
    said = capsys.readouterr().err
    assert "toy ended with exit code 7; restarting it in 1 s" in said
    assert "    I had to go" in said
    assert child.process is None
    wait_until(lambda: child.check() or child.process is not None)
    child.process.wait()
    child.check()
    assert "restarting it in 2 s" in capsys.readouterr().err
    for _ in range(10):
        child._plan_restart(7)
    assert child.pause_s == MOST_PAUSE_S


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition: Callable[[], Any], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
