"""gpuq admin node: tell the queue what an admin knows about a node and the cluster does not."""

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
    """Declare nodes dead or alive."""


@node.command()
@click.argument("node", metavar="NODE")
@redis_url
def dead(node: str, redis_url: str) -> None:
    """Declare that NODE is switched off for certain (unplugged, powered down).

    Its jobs leave their slots and start on other nodes from their checkpoints, and no job is sent
    there until gpuq admin node alive. A node whose monitor answers is refused.
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
    effect = "no job was running there"
    if node in jobs:
        ids = ", ".join(jobs[node])
        effect = f"once the engine reports it as lost too, these jobs start elsewhere: {ids}"
    say(f"{node} is declared dead; {effect}. When it is back: gpuq admin node alive {node}")


@node.command()
@click.argument("node", metavar="NODE")
@redis_url
def alive(node: str, redis_url: str) -> None:
    """Withdraw the declaration; NODE is eligible for jobs again."""
    with open_store(redis_url) as store:
        if not store.declare_alive(node):
            raise NotFound(f"{node} was not declared dead.")
    say(f"{node} is eligible for jobs again, as soon as its monitor answers.")


@node.command("list")
@redis_url
def list_(redis_url: str) -> None:
    """Show each node: whether it was declared dead, its jobs, and the state of its monitor."""
    with open_store(redis_url) as store:
        known, declared, jobs = store.nodes(), store.dead_nodes(), _jobs_by_node(store)
    names = sorted(known.keys() | declared.keys() | jobs.keys())
    if not names:
        say("No node has reported; gpuq doctor shows what is wrong.")
        return
    rows = [
        (name, _time(declared.get(name)), ", ".join(jobs.get(name, [])), _state(known.get(name)))
        for name in names
    ]
    click.echo(table(_HEADS, rows))


def _has_just_answered(report: dict[str, Any]) -> bool:
    """Tell whether the report is fresh; a scheduler that does not run leaves an old one."""
    return bool(report.get("snapshot")) and seconds(report["at"]) > time.time() - _FRESH_S


def _jobs_by_node(store: "Store") -> dict[str, list[str]]:
    """Return the ids of the admitted and running jobs by node."""
    found: dict[str, list[str]] = {}
    for job in store.running():
        if job.node:
            found.setdefault(job.node, []).append(job.job_id)
    return found


def _time(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _state(report: dict[str, Any] | None) -> str:
    if report is None:
        return "has not reported"
    return "answers" if report.get("snapshot") else str(report.get("error"))
