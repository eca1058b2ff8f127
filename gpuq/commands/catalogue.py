"""gpuq nodes, configs and workflows: list what the server has."""

import click

from gpuq.commands import with_client
from gpuq.output import node_views
from gpuq.output.list_options import Output, list_options
from gpuq.remote.client import Client


@click.command()
@list_options
@with_client
def nodes(client: Client, output: Output) -> None:
    """Show the last report of each node's monitor, one line per GPU."""
    output.show(lambda: node_views.nodes(client.nodes()))


@click.command()
@list_options
@with_client
def configs(client: Client, output: Output) -> None:
    """List the configs that a submission may name with --config."""
    output.show(lambda: node_views.configs(client.configs()))


@click.command()
@list_options
@with_client
def workflows(client: Client, output: Output) -> None:
    """List the templates that a submission may name with --workflow."""
    output.show(lambda: node_views.workflows(client.workflows()))
