"""gpuq doctor: check each part, and show the command that fixes each problem."""

from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from gpuq import checks
from gpuq.checks import Check, Finding
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

#: More would be slow, and the first one is usually a config of the default template.
_MOST_CONFIGS = 5
_AGAIN = "gpuq doctor  # again, once the problems above are fixed"


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Data folder of gpuq up on this machine. Default: ~/.local/share/gpuq.",
)
@click.pass_obj
def doctor(server: Server, data_dir: Path | None) -> None:
    """Check each part: one line each, and below a problem the command that fixes it.

    Exit code 0 if there is no problem, 1 if there is one, 6 if the server does not answer.
    """
    client = server.client()
    failure = _server_failure(client)
    found = map(_show, _checks(server, client, failure, data_dir or default_root()))
    failed = [check.part for check in found if not check.is_ok]
    if failed:
        kind = Unreachable if isinstance(failure, Unreachable) else GpuqFailure
        count = "1 problem" if len(failed) == 1 else f"{len(failed)} problems"
        raise kind(f"{count}: {', '.join(failed)}.")


def _checks(
    server: Server, client: Client, failure: GpuqFailure | None, folder: Path
) -> Iterator[Check]:
    yield checks.server(client.server, None if failure is None else str(failure))
    if failure is None:
        yield from _remote(client, read_token(server.token_file) is not None)
    if is_loopback(urlsplit(client.server).hostname or ""):
        yield from _local(client.server, folder.expanduser(), failure)


def _show(check: Check) -> Check:
    """Print the check as soon as it is known."""
    mark = "ok" if check.is_ok else "!!"
    shown = painted(mark) if has_colour() else mark
    click.echo(f"{shown}  {check.part:<10} {clean(check.says)}", color=True)
    if check.remedy:
        click.echo(f"       {check.remedy}")
    return check


def _server_failure(client: Client) -> GpuqFailure | None:
    """Return why the server cannot be asked anything; None if it can."""
    try:
        is_one = client.is_alive()
    except GpuqFailure as failure:
        return failure
    if is_one:
        return None
    return GpuqFailure(f"{client.server} does not answer like a gpuq server; check --server.")


def _remote(client: Client, has_token: bool) -> Iterator[Check]:
    yield checks.version(metadata.version("gpuq-lab"), client.version())
    problem, warnings = _ready(client)
    yield from checks.readiness(problem, warnings)
    nodes = _ask(client.nodes)
    if isinstance(nodes, Refused):
        yield checks.token(str(nodes), has_token, whoami() or "<user>")
        return
    if isinstance(nodes, GpuqFailure):
        yield from (Check(part, str(nodes), _AGAIN) for part in ("token", "nodes"))
    else:
        is_needed = isinstance(_ask(Client(client.server).nodes), Refused)
        yield checks.token(None, has_token, "", is_needed)
        yield from checks.nodes(nodes)
    yield from _catalogue(client, is_ready=problem is None)


def _ready(client: Client) -> tuple[Finding | None, list[Finding]]:
    try:
        answer = client.ready()
    except ServerTrouble as trouble:
        return Finding(trouble.code, str(trouble)), []
    coded = answer.get("coded_warnings")
    if coded is None:  # an earlier server, which has sentences only
        return None, [Finding("", str(message)) for message in answer["warnings"]]
    return None, [Finding(str(each["code"]), str(each["message"])) for each in coded]


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
        problem, untested = _test_template(client, names) if is_ready else (None, "")
        yield checks.templates(workflows, problem, untested)


def _test_template(client: Client, configs: list[str]) -> tuple[str | None, str]:
    """Return the problem that a dry run of the default template reports, and why none was possible.

    A refused dry run says nothing about the template, so the next config is tried.
    """
    user, refused = whoami() or "", ""
    for config in configs[:_MOST_CONFIGS]:
        body = {"user": user, "config": config, "workdir": f"/data/{user}", "dry_run": True}
        answer = _ask(lambda body=body: client.submit(body))  # type: ignore[misc]
        if not isinstance(answer, Refused):
            return (str(answer) if isinstance(answer, GpuqFailure) else None), ""
        refused = refused or str(answer).splitlines()[0]
    return None, refused


def _ask(call: Callable[[], dict[str, Any]]) -> dict[str, Any] | GpuqFailure:
    """Return the answer or the failure; a server that stops answering ends the command."""
    try:
        return call()
    except Unreachable:
        raise
    except GpuqFailure as failure:
        return failure


def _local(url: str, folder: Path, failure: GpuqFailure | None) -> Iterator[Check]:
    """Check the disk, and if no server answers also whether `gpuq up` could start here."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    yield checks.disk(str(there), free_bytes(there), FREE_BYTES_NEEDED)
    if isinstance(failure, Unreachable):
        wanted = {
            "--port": urlsplit(url).port or 80,
            "--monitor-port": 8080,
            "--redis-port": 6379,
        }
        yield from (_port(option, port) for option, port in wanted.items())


def _port(option: str, port: int) -> Check:
    try:
        ports.check_free("127.0.0.1", port, option)
    except GpuqFailure as taken:
        return Check("port", str(taken), f"gpuq up {option} {ports.free_port('127.0.0.1')}")
    return Check("port", f"{port} is free for gpuq up")
