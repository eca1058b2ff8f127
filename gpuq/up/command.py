"""gpuq up."""

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
from gpuq.up.services import Ports, make_environment, make_services
from gpuq.up.supervisor import Supervisor

PORT = click.IntRange(1, 65535)


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where the queue manager listens; off loopback with tokens.",
)
@click.option("--port", type=PORT, default=8081, show_default=True, help="The queue manager's.")
@click.option("--monitor-port", type=PORT, default=8080, show_default=True)
@click.option("--redis-port", type=PORT, default=6379, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Default: ~/.local/share/gpuq.")
@click.option("--demo", is_flag=True, help="Train on generated data, show it to its end, and stop.")
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the demo's data set, which is then made anew."
)
@click.pass_context
def up(
    ctx: click.Context, host: str, port: int, monitor_port: int, redis_port: int, data_dir: Path | None, demo: bool,
    seed: int | None,
) -> None:  # fmt: skip
    """Run the whole system on this machine until Ctrl-C: Redis, resource monitor, queue manager, scheduler."""
    preflight.check_platform()
    auth = preflight.auth_of(host, os.environ.get("AUTH"), demo)
    preflight.check_packages()
    folder = Folder((data_dir or default_root()).expanduser().absolute())
    lock = folder.prepare()
    run(
        folder,
        lock,
        _pick_ports(ctx, Ports(host, port, monitor_port, redis_port, auth), demo),
        demo,
        seed,
    )


def run(folder: Folder, lock: int, chosen: Ports, is_demo: bool, seed: int | None) -> None:
    """Start, watch, stop; whatever happens, nothing that was started is left."""
    signals = _catch_signals()
    process.become_subreaper()
    lifeline = process.Lifeline()
    has_gpu = preflight.has_nvidia_gpu()
    cpu_gate = has_gpu or not is_demo
    _say_what_is_off(has_gpu, cpu_gate)
    env = make_environment(folder, chosen, lifeline.watched, has_gpu, cpu_gate)
    supervisor = Supervisor(
        make_services(folder, chosen, env, lifeline.watched, lock), folder.logs, signals
    )
    view = pick_view()
    demo = Demo(Client(chosen.api), folder, view) if is_demo else None
    try:
        if demo:
            make_dataset(folder, seed, signals)
        supervisor.start()
        _say_where(chosen, folder)
        if chosen.auth == "token":
            _say_how_to_come_in(chosen)
        supervisor.watch(demo.is_over if demo else lambda: False)
    except Interrupted as interrupted:
        say(str(interrupted))
    finally:
        view.close()
        supervisor.stop(lifeline)
        say(f"Everything is stopped; data and logs stay in {folder.root}.")
    if demo:
        demo.report()


def _pick_ports(ctx: click.Context, wanted: Ports, is_demo: bool) -> Ports:
    """The wanted ports where free; a demo evades where nobody asked for that very port. Raises GpuqFailure."""
    asked = {
        "queue_manager": (wanted.host, wanted.queue_manager, "port"),
        "monitor": ("127.0.0.1", wanted.monitor, "monitor_port"),
        "redis": ("127.0.0.1", wanted.redis, "redis_port"),
    }
    if len({port for _, port, _ in asked.values()}) < len(asked):
        raise GpuqFailure("--port, --monitor-port and --redis-port must be three different ports.")
    found = {}
    for name, (host, port, parameter) in asked.items():
        may_evade = is_demo and ctx.get_parameter_source(parameter) is ParameterSource.DEFAULT
        found[name] = _pick_port(host, port, f"--{parameter.replace('_', '-')}", may_evade)
    return Ports(wanted.host, **found, auth=wanted.auth)


def _pick_port(host: str, port: int, option: str, may_evade: bool) -> int:
    if may_evade and not ports.is_free(host, port):
        other = ports.free_port(host)
        say(f"Port {port} is taken; the demo uses {other} instead.")
        return other
    ports.check_free(host, port, option)
    return port


def _catch_signals() -> list[int]:
    """Ctrl-C, SIGTERM and a closed terminal become entries of a list; nothing is ever cut off in the middle."""
    signals: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        signals.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, note)
    return signals


def _say_what_is_off(has_gpu: bool, cpu_gate: bool) -> None:
    if not has_gpu:
        say("No NVIDIA GPU here: trainings run on the CPU (REQUIRE_GPU=false).")
    if not cpu_gate:
        say(
            "The CPU gate is switched off for the demo, because the training itself runs on the CPU (CPU_PERCENT=off)."
        )


def _say_where(chosen: Ports, folder: Folder) -> None:
    body = '{"user": "ann", "config": "demo.yaml", "workdir": "/data/ann"}'
    click.echo(f"gpuq is up: {chosen.api}  (data and logs in {folder.root}; Ctrl-C stops it)")
    token = "" if chosen.auth == "off" else '-H "Authorization: Bearer $GPUQ_TOKEN" '
    click.echo(f"  curl {chosen.api}/submit {token}-H 'Content-Type: application/json' -d '{body}'")


def _say_how_to_come_in(chosen: Ports) -> None:
    """The first admin's token, this once; and how the others get theirs."""
    try:
        secret = make_first_token(chosen.redis_url, time.time())
    except GpuqFailure as failure:  # no reason to keep the queue from those who have tokens
        secret = None
        say(str(failure))
    if secret:
        click.echo(f"The first admin's token, shown this once: {secret}")
    say(f"A token for a user: REDIS_URL={chosen.redis_url} gpuq admin token create --user <user>")
