"""gpuq doctor: asks each part how it is, and says which command mends what is not well."""

from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from gpuq import checks
from gpuq.checks import Check
from gpuq.commands import Server
from gpuq.commands.params import whoami
from gpuq.errors import GpuqFailure, Refused, ServerTrouble, Unreachable
from gpuq.output.listing import painted
from gpuq.output.text import clean, has_colour
from gpuq.remote.client import Client
from gpuq.remote.token_file import read_token
from gpuq.up import ports
from gpuq.up.folder import FREE_BYTES_NEEDED, default_root, free_bytes
from jobqueue.service.listening import is_loopback

#: More would be slow, and the first one is mostly the default training's.
_MOST_CONFIGS = 5
_AGAIN = "gpuq doctor  # again, when what is above is mended"


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Of the gpuq up here. Default: ~/.local/share/gpuq.",
)
@click.pass_obj
def doctor(server: Server, data_dir: Path | None) -> None:
    """Check each part: a line each, and below a red one the command that mends it.

    Exit code 0 where all is well, 1 where something is red, 6 where the server is away.
    """
    client = server.client()
    trouble = _trouble(client)
    red = [
        check.part
        for check in _checks(server, client, trouble, data_dir or default_root())
        if _show(check)
    ]
    if red:
        kind = Unreachable if isinstance(trouble, Unreachable) else GpuqFailure
        raise kind(f"Not well: {', '.join(red)}.")


def _checks(
    server: Server, client: Client, trouble: GpuqFailure | None, folder: Path
) -> Iterator[Check]:
    yield checks.server(client.server, None if trouble is None else str(trouble))
    if trouble is None:
        yield from _remote(client, read_token(server.token_file) is not None)
    if is_loopback(urlsplit(client.server).hostname or ""):
        yield from _local(client.server, folder.expanduser(), trouble)


def _show(check: Check) -> bool:
    """Print it, as soon as it is known; whether it is red."""
    mark = "ok" if check.is_ok else "!!"
    click.echo(
        f"{painted(mark) if has_colour() else mark}  {check.part:<10} {clean(check.says)}",
        color=True,
    )
    if check.remedy:
        click.echo(f"       {check.remedy}")
    return not check.is_ok


def _trouble(client: Client) -> GpuqFailure | None:
    """Why nothing more can be asked of the server."""
    try:
        is_one = client.is_alive()
    except GpuqFailure as failure:
        return failure
    return (
        None
        if is_one
        else GpuqFailure(f"{client.server} does not answer like a gpuq server; look at --server.")
    )


def _remote(client: Client, has_token: bool) -> Iterator[Check]:
    yield checks.version(metadata.version("gpuq-lab"), client.version())
    trouble, warnings = _ready(client)
    yield from checks.redis(trouble, warnings)
    yield checks.scheduler(trouble)
    nodes = _ask(client.nodes)
    if isinstance(nodes, Refused):
        yield checks.token(str(nodes), has_token, whoami() or "<user>")
        return
    if isinstance(nodes, GpuqFailure):
        yield from (Check(part, str(nodes), _AGAIN) for part in ("token", "nodes"))
    else:
        yield checks.token(
            None, has_token, "", is_needed=isinstance(_ask(Client(client.server).nodes), Refused)
        )
        yield from checks.nodes(nodes)
    yield from _catalogue(client, is_ready=trouble is None)


def _ready(client: Client) -> tuple[str | None, list[str]]:
    try:
        return None, client.ready()["warnings"]
    except ServerTrouble as trouble:
        return str(trouble), []


def _catalogue(client: Client, is_ready: bool) -> Iterator[Check]:
    configs, workflows = _ask(client.configs), _ask(client.workflows)
    if isinstance(configs, GpuqFailure):
        yield Check("configs", str(configs), _AGAIN)
        names = []
    else:
        yield checks.configs(configs)
        names = [str(each["name"]) for each in configs["configs"]]
    if isinstance(workflows, GpuqFailure):
        yield Check("templates", str(workflows), _AGAIN)
    else:
        trouble, untried = _try_template(client, names) if is_ready else (None, "")
        yield checks.templates(workflows, trouble, untried)


def _try_template(client: Client, configs: list[str]) -> tuple[str | None, str]:
    """What a dry run says of the default template, and why none says anything: a refused one tells nothing of it."""
    user, refused = whoami() or "", ""
    for config in configs[:_MOST_CONFIGS]:
        body = {"user": user, "config": config, "workdir": f"/data/{user}", "dry_run": True}
        answer = _ask(lambda body=body: client.submit(body))  # type: ignore[misc]
        if not isinstance(answer, Refused):
            return (str(answer) if isinstance(answer, GpuqFailure) else None), ""
        refused = refused or str(answer).splitlines()[0]
    return None, refused


def _ask(call: Callable[[], dict[str, Any]]) -> dict[str, Any] | GpuqFailure:
    """The answer, or what went wrong; that the server has gone meanwhile ends the command."""
    try:
        return call()
    except Unreachable:
        raise
    except GpuqFailure as failure:
        return failure


def _local(url: str, folder: Path, trouble: GpuqFailure | None) -> Iterator[Check]:
    """The disk, and while nothing answers whether `gpuq up` could start here."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    yield checks.disk(str(there), free_bytes(there), FREE_BYTES_NEEDED)
    if isinstance(trouble, Unreachable):
        asked = (
            ("--port", urlsplit(url).port or 80),
            ("--monitor-port", 8080),
            ("--redis-port", 6379),
        )
        yield from (_port(option, port) for option, port in asked)


def _port(option: str, port: int) -> Check:
    try:
        ports.check_free("127.0.0.1", port, option)
    except GpuqFailure as taken:
        return Check("port", str(taken), f"gpuq up {option} {ports.free_port('127.0.0.1')}")
    return Check("port", f"{port} is free for gpuq up")
