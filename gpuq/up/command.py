"""gpuq up: run the whole system on this machine."""

import os
import signal
import time
from pathlib import Path
from types import FrameType

import click
from click.core import ParameterSource

from gpuq.errors import GpuqFailure, Interrupted
from gpuq.output.progress import pick_view
from gpuq.output.text import say
from gpuq.remote.client import Client
from gpuq.up import ports, preflight, process
from gpuq.up.demo import Demo, make_dataset
from gpuq.up.first_token import make_first_token
from gpuq.up.folder import Folder, default_root
from gpuq.up.services import Ports, Service, make_environment, make_services
from gpuq.up.supervisor import Supervisor

PORT = click.IntRange(1, 65535)


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address of the queue manager; beyond loopback it needs tokens.",
)
@click.option(
    "--port", type=PORT, default=8081, show_default=True, help="Port of the queue manager."
)
@click.option(
    "--monitor-port",
    type=PORT,
    default=8080,
    show_default=True,
    help="Port of the resource monitor.",
)
@click.option("--redis-port", type=PORT, default=6379, show_default=True, help="Port of Redis.")
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Folder for data and logs. Default: ~/.local/share/gpuq.",
)
@click.option("--demo", is_flag=True, help="Train on generated data, show the progress, and stop.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Generate the demo's data set again, with this seed."
)
@click.pass_context
def up(
    ctx: click.Context,
    host: str,
    data_dir: Path | None,
    demo: bool,
    seed: int | None,
    **port_options: int,
) -> None:
    """Run the whole system on this machine until Ctrl-C.

    It consists of Redis, the resource monitor, the queue manager and the scheduler.
    """
    preflight.check_platform()
    auth = preflight.choose_auth(host, os.environ.get("AUTH"), demo)
    preflight.check_packages()
    folder = Folder((data_dir or default_root()).expanduser().absolute())
    lock = folder.prepare()
    port, monitor = port_options["port"], port_options["monitor_port"]
    wanted = Ports(host, port, monitor, port_options["redis_port"], auth)
    run(folder, lock, _pick_ports(ctx, wanted, demo), demo, seed)


def run(folder: Folder, lock: int, chosen: Ports, is_demo: bool, seed: int | None) -> None:
    """Start, watch and stop everything; whatever happens, no process is left behind."""
    signals = _catch_signals()
    process.become_subreaper()
    lifeline = process.Lifeline()
    services = _services(folder, lock, chosen, is_demo, lifeline)
    supervisor = Supervisor(services, folder.logs, signals)
    view = pick_view()
    demo = Demo(Client(chosen.api), folder, view) if is_demo else None
    try:
        if demo:
            make_dataset(folder, seed, signals)
        supervisor.start()
        _announce(chosen, folder)
        supervisor.watch(demo.is_over if demo else lambda: False)
    except Interrupted as interrupted:
        say(str(interrupted))
    finally:
        view.close()
        supervisor.stop(lifeline)
        say(f"All services have stopped; data and logs stay in {folder.root}.")
    if demo:
        demo.report()


def _services(
    folder: Folder, lock: int, chosen: Ports, is_demo: bool, lifeline: process.Lifeline
) -> list[Service]:
    has_gpu = preflight.has_nvidia_gpu()
    cpu_gate = has_gpu or not is_demo
    if not has_gpu:
        say("No NVIDIA GPU here: trainings run on the CPU (REQUIRE_GPU=false).")
    if not cpu_gate:
        say(
            "The CPU gate is off for the demo, because the training itself uses the CPU "
            "(CPU_PERCENT=off)."
        )
    env = make_environment(folder, chosen, lifeline.watched, has_gpu, cpu_gate)
    return make_services(folder, chosen, env, lifeline.watched, lock)


def _pick_ports(ctx: click.Context, wanted: Ports, is_demo: bool) -> Ports:
    """Return the wanted ports if they are free. Raises GpuqFailure.

    A demo uses another port instead of a taken one that the caller did not ask for.
    """
    candidates = {
        "queue_manager": (wanted.host, wanted.queue_manager, "port"),
        "monitor": ("127.0.0.1", wanted.monitor, "monitor_port"),
        "redis": ("127.0.0.1", wanted.redis, "redis_port"),
    }
    if len({port for _, port, _ in candidates.values()}) < len(candidates):
        raise GpuqFailure("--port, --monitor-port and --redis-port must be three different ports.")
    found = {}
    for name, (host, port, parameter) in candidates.items():
        may_change = is_demo and ctx.get_parameter_source(parameter) is ParameterSource.DEFAULT
        found[name] = _pick_port(host, port, f"--{parameter.replace('_', '-')}", may_change)
    return Ports(wanted.host, **found, auth=wanted.auth)


def _pick_port(host: str, port: int, option: str, may_change: bool) -> int:
    if may_change and not ports.is_free(host, port):
        other = ports.free_port(host)
        say(f"Port {port} is taken; the demo uses port {other} instead.")
        return other
    ports.check_free(host, port, option)
    return port


def _catch_signals() -> list[int]:
    """Collect Ctrl-C, SIGTERM and a closed terminal in a list, so that they interrupt nothing."""
    signals: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        signals.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP, and it stays ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, note)
    return signals


def _announce(chosen: Ports, folder: Folder) -> None:
    """Print the address and an example; with tokens also how to get one."""
    body = '{"user": "ann", "config": "demo.yaml", "workdir": "/data/ann"}'
    click.echo(f"gpuq is up: {chosen.api}  (data and logs in {folder.root}; Ctrl-C stops it)")
    token = "" if chosen.auth == "off" else '-H "Authorization: Bearer $GPUQ_TOKEN" '
    click.echo(f"  curl {chosen.api}/submit {token}-H 'Content-Type: application/json' -d '{body}'")
    if chosen.auth == "token":
        _announce_tokens(chosen)


def _announce_tokens(chosen: Ports) -> None:
    """Print the first admin token, once, and how to make tokens for users."""
    try:
        secret = make_first_token(chosen.redis_url, time.time())
    except GpuqFailure as failure:  # those who have tokens can use the queue anyway
        secret = None
        say(str(failure))
    if secret:
        click.echo(f"The first admin's token, shown only once: {secret}")
    command = f"REDIS_URL={chosen.redis_url} gpuq admin token create --user <user>"
    say(f"To make a token for a user: {command}")
