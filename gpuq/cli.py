"""The command group: the options that all commands share, and the list of commands."""

from pathlib import Path

import click

from gpuq.commands import Server
from gpuq.commands.admin import admin
from gpuq.commands.catalogue import configs, nodes, workflows
from gpuq.commands.changes import cancel, retry
from gpuq.commands.completion import completion
from gpuq.commands.doctor import doctor
from gpuq.commands.jobs import history, logs, queue, show, status
from gpuq.commands.submit import submit
from gpuq.remote.client import DEFAULT_SERVER
from gpuq.up.command import up

_EPILOG = """\b
Exit codes:
    0  ok
    1  failure
    2  wrong usage
    3  the job failed (with --wait)
    4  not found
    5  refused
    6  the server does not answer
  124  the wait timed out
  130  Ctrl-C (the job continues); with --watch Ctrl-C is 0
"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--server",
    envvar="GPUQ_SERVER",
    default=DEFAULT_SERVER,
    show_default=True,
    show_envvar=True,
    help="Address of the queue manager.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with your access token. Default: the token in $GPUQ_TOKEN.",
)
@click.version_option(package_name="gpuq-lab")
@click.pass_context
def cli(ctx: click.Context, server: str, token_file: Path | None) -> None:
    """A queue for trainings on shared GPUs.

    `gpuq up` runs the whole system on this machine; the other commands use a queue manager, here or
    elsewhere.
    """
    ctx.obj = Server(server, token_file)


_JOBS = (submit, status, queue, show, logs, cancel, retry, history)
for command in (up, *_JOBS, nodes, configs, workflows, doctor, completion, admin):
    cli.add_command(command)
