"""gpuq admin node: what an admin knows of a node and the cluster does not."""

import time
from typing import TYPE_CHECKING, Any

import click

from gpuq.commands.token import redis_url
from gpuq.errors import NotFound, Refused
from gpuq.output.text import say, table
from gpuq.remote.queue_store import open_store
from jobqueue.clock import rfc3339, seconds

if TYPE_CHECKING:
    from jobqueue.store.client import Store

_FRESH_S = 60.0
_HEADS = ("NODE", "DECLARED DEAD", "JOBS", "MONITOR")


@click.group()
def node() -> None:
    """Nodes that are off and cannot say so themselves."""


@node.command()
@click.argument("node", metavar="NODE")
@redis_url
def dead(node: str, redis_url: str) -> None:
    """Say that NODE is off for certain (pulled out, powered down).

    Its jobs then leave their slots and start elsewhere from their checkpoints, and no job is sent there until
    gpuq admin node alive. A node whose monitor answers is refused.
    """
    with open_store(redis_url) as store:
        known, jobs = store.nodes(), _jobs_by_node(store)
        if node not in known and node not in jobs:
            raise NotFound(f"There is no node {node}; gpuq admin node list shows them.")
        if _has_just_answered(known.get(node) or {}):
            raise Refused(
                f"The monitor of {node} answered at {known[node]['at']}, so {node} is not off."
            )
        store.declare_dead(node, time.time())
    leave = (
        f"once the engine finds it lost too, {', '.join(jobs[node])} will start elsewhere"
        if node in jobs
        else ""
    )
    say(
        f"{node} counts as dead; {leave or 'no job was there'}. When it is back: gpuq admin node alive {node}"
    )


@node.command()
@click.argument("node", metavar="NODE")
@redis_url
def alive(node: str, redis_url: str) -> None:
    """Take it back: NODE may be given jobs again."""
    with open_store(redis_url) as store:
        if not store.declare_alive(node):
            raise NotFound(f"{node} was not declared dead.")
    say(f"{node} may be given jobs again, as soon as its monitor answers.")


@node.command("list")
@redis_url
def list_(redis_url: str) -> None:
    """What is known of each node: whether it was declared dead, its jobs, and what its monitor says."""
    with open_store(redis_url) as store:
        known, declared, jobs = store.nodes(), store.dead_nodes(), _jobs_by_node(store)
    names = sorted(known.keys() | declared.keys() | jobs.keys())
    if not names:
        say("No node has reported; gpuq doctor says what is amiss.")
        return
    rows = [
        (name, _since(declared.get(name)), ", ".join(jobs.get(name, [])), _said(known.get(name)))
        for name in names
    ]
    click.echo(table(_HEADS, rows))


def _has_just_answered(said: dict[str, Any]) -> bool:
    """What a scheduler wrote that is away itself says nothing about now."""
    return bool(said.get("snapshot")) and seconds(said["at"]) > time.time() - _FRESH_S


def _jobs_by_node(store: "Store") -> dict[str, list[str]]:
    """node -> the admitted and running jobs there."""
    found: dict[str, list[str]] = {}
    for job in store.running():
        if job.node:
            found.setdefault(job.node, []).append(job.job_id)
    return found


def _since(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _said(known: dict[str, Any] | None) -> str:
    if known is None:
        return "has said nothing"
    return "answers" if known.get("snapshot") else str(known.get("error"))
