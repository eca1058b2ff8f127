"""gpuq nodes, configs, workflows: what there is."""

import click

from gpuq.commands import with_client
from gpuq.output import node_views
from gpuq.output.list_options import Output, list_options
from gpuq.remote.client import Client


@click.command()
@list_options
@with_client
def nodes(client: Client, output: Output) -> None:
    """What each node's monitor last said, GPU by GPU."""
    output.show(lambda: node_views.nodes(client.nodes()))


@click.command()
@list_options
@with_client
def configs(client: Client, output: Output) -> None:
    """The configs that a submission can name."""
    output.show(lambda: node_views.configs(client.configs()))


@click.command()
@list_options
@with_client
def workflows(client: Client, output: Output) -> None:
    """The trainings that a submission can name with --workflow."""
    output.show(lambda: node_views.workflows(client.workflows()))
