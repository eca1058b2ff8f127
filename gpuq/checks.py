"""Judge the answers that `gpuq doctor` got: one line per part, with the command that fixes it.

The functions are pure; what they decide by are codes, never sentences.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuq.output.listing import Item
from gpuq.output.text import duration
from jobqueue.resources import NodeReasonCode
from jobqueue.service.health import ProblemCode, WarningCode

#: The scheduler asks every node in each cycle; this is three of the slowest usual cycles.
OLD_S = 90
_MOST_NAMED = 5
_LOGS = "~/.local/share/gpuq/logs"


@dataclass(frozen=True)
class Check:
    """The result for one part; `remedy` is the command that fixes it, empty if nothing is wrong."""

    part: str
    says: str
    remedy: str = ""

    @property
    def is_ok(self) -> bool:
        """Nothing has to be done about this part."""
        return not self.remedy


@dataclass(frozen=True)
class Finding:
    """A problem or warning of /readyz; `code` is empty in answers of earlier servers."""

    code: str
    message: str


def server(url: str, problem: str | None) -> Check:
    """Judge whether a queue manager answers at `url`."""
    if problem is None:
        return Check("server", f"{url} answers")
    remedy = "gpuq up  # or use another server: gpuq --server http://HOST:8081 doctor"
    return Check("server", problem, remedy)


def version(ours: str, theirs: str) -> Check:
    """Compare the versions of client and server."""
    if ours == theirs:
        return Check("version", f"{ours} (client and server match)")
    remedy = f"make setup  # in gpuq's checkout at version {theirs}, or install that wheel"
    return Check("version", f"the client is gpuq {ours}, the server {theirs}", remedy)


def readiness(problem: Finding | None, warnings: Sequence[Finding]) -> list[Check]:
    """Judge Redis and the scheduler by the problem of /readyz, or by its warnings."""
    if problem is None:
        working = Check("scheduler", "alive; jobs submitted now are queued and will be started")
        return [*_durability(warnings), working]
    if problem.code in REDIS_REMEDIES:
        again = "gpuq doctor  # again, once Redis works"
        return [
            Check("redis", problem.message, REDIS_REMEDIES[problem.code]),
            Check("scheduler", "unknown until Redis works", again),
        ]
    if problem.code in SCHEDULER_REMEDIES:
        return [
            Check("redis", "reachable; never evicts"),
            Check("scheduler", problem.message, SCHEDULER_REMEDIES[problem.code]),
        ]
    return [Check("ready", problem.message, f"tail {_LOGS}/queue-manager.log")]


def _durability(warnings: Sequence[Finding]) -> list[Check]:
    if not warnings:
        return [Check("redis", "reachable; never evicts, writes every change to disk")]
    otherwise = "redis-cli config get append*"
    return [
        Check("redis", warning.message, WARNING_REMEDIES.get(warning.code, otherwise))
        for warning in warnings
    ]


def token(problem: str | None, has_one: bool, user: str, is_needed: bool = True) -> Check:
    """Judge the caller's token.

    `problem` is the refusal of a call that any valid token opens. `is_needed` tells whether the
    same call was refused without a token.
    """
    if problem is None:
        accepted = has_one and is_needed
        return Check("token", "accepted" if accepted else "not needed on this server")
    if has_one:
        remedy = f"gpuq admin token create --user {user}  # an admin; then set GPUQ_TOKEN to it"
        return Check("token", problem, remedy)
    return Check("token", problem, "export GPUQ_TOKEN=gpuq_…  # or gpuq --token-file FILE …")


def nodes(answer: Item) -> list[Check]:
    """Judge each node by the last report of its monitor."""
    if not answer["nodes"]:
        return [Check("nodes", "no monitor has reported yet", f"tail {_LOGS}/resource-monitor.log")]
    return [_node(node) for node in answer["nodes"]]


def configs(answer: Item) -> Check:
    """Judge whether the server has configs."""
    names = [each["name"] for each in answer["configs"]]
    if not names:
        remedy = "cp config.yaml $CONFIG_ROOT/  # or submit --config @FILE"
        return Check("configs", "none on the server", remedy)
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return Check("configs", ", ".join(names[:_MOST_NAMED]) + more)


def templates(answer: Item, problem: str | None, untested: str = "") -> Check:
    """Judge the templates.

    `problem` is why a dry run of the default one failed; `untested` is why no dry run was possible.
    """
    found = answer["workflows"]
    if not any(each["is_default"] for each in found):
        remedy = "ls -l $WORKFLOW_TEMPLATE  # on the server"
        return Check("templates", "the default template is missing", remedy)
    if problem is not None:
        remedy = "gpuq submit --config demo.yaml --dry-run  # once the template is fixed"
        return Check("templates", problem, remedy)
    names = ", ".join(each["name"] + _kind(each) for each in found)
    return Check("templates", f"{names}; not tested: {untested}" if untested else names)


def disk(folder: str, free_bytes: int, needed_bytes: int) -> Check:
    """Judge the free space of the data folder."""
    says = f"{free_bytes / 1024**3:.1f} GiB free in {folder}"
    if free_bytes >= needed_bytes:
        return Check("disk", says)
    remedy = f"du -sh {folder}/data/*/runs/*  # free space, or gpuq up --data-dir on another disk"
    return Check("disk", f"{says}; at least {needed_bytes // 1024**2} MB are needed", remedy)


REDIS_REMEDIES: dict[str, str] = {
    ProblemCode.REDIS_UNAVAILABLE: "redis-cli -u $REDIS_URL ping",
    ProblemCode.REDIS_EVICTS: "redis-cli config set maxmemory-policy noeviction",
    ProblemCode.REDIS_TOO_OLD: "redis-server --version  # install a newer one; gpuq up has its own",
}
SCHEDULER_REMEDIES: dict[str, str] = {
    ProblemCode.SCHEDULER_NOT_RESPONDING: f"tail {_LOGS}/scheduler.log",
    ProblemCode.SCHEDULER_HEARTBEAT_UNREADABLE: "gpuq --version  # the scheduler's must match",
    ProblemCode.SCHEDULER_HALTED: "gpuq admin resume",
}
WARNING_REMEDIES: dict[str, str] = {
    WarningCode.AOF_OFF: "redis-cli config set appendonly yes; "
    "redis-cli config set appendfsync always",
    WarningCode.APPENDFSYNC_NOT_ALWAYS: "redis-cli config set appendfsync always",
    WarningCode.CONFIG_REFUSED: "redis-cli config get appendonly  # as its admin",
}

#: Reasons for which a node is broken, and not just in use.
_BROKEN = {
    NodeReasonCode.GPU_UNKNOWN: "nvidia-smi",
    NodeReasonCode.GPU_LOST: "nvidia-smi -r  # or restart the node; dmesg | grep -i xid shows why",
    NodeReasonCode.NO_GPU: "nvidia-smi  # if the node has no GPU on purpose: REQUIRE_GPU=false",
    NodeReasonCode.NO_DRIVER: "nvidia-smi  # after an update of the driver: restart the node",
    NodeReasonCode.CPU_UNKNOWN: f"tail {_LOGS}/resource-monitor.log",
    NodeReasonCode.MEMORY_UNKNOWN: f"tail {_LOGS}/resource-monitor.log",
    NodeReasonCode.STALE: "timeout 10 nvidia-smi  # if it hangs too, restart the node",
    NodeReasonCode.STARTING: "gpuq doctor  # again, in a few seconds",
}


def _node(node: Item) -> Check:
    part = f"node {node['node']}"
    if node.get("error"):
        return Check(part, str(node["error"]), f"tail {_LOGS}/resource-monitor.log  # on that node")
    age = f"last report {duration(node['age_s'])} ago"
    if node["age_s"] > OLD_S:
        return Check(part, age, f"tail {_LOGS}/scheduler.log")
    reasons = node["snapshot"]["reasons"]
    sentences = "; ".join(reason["message"].rstrip(".") for reason in reasons)
    remedy = next(_remedies(reasons), "")
    state = "available" if node["snapshot"]["available"] else "busy"
    says = "; ".join(filter(None, (age, "" if remedy else state, sentences)))
    return Check(part, says, remedy)


def _remedies(reasons: Sequence[Item]) -> Iterator[str]:
    return (_BROKEN[code] for reason in reasons if (code := reason["code"]) in _BROKEN)


def _kind(each: Item) -> str:
    words = [
        *(["default"] if each["is_default"] else []),
        *([] if each["checks_config"] else ["configs unchecked"]),
    ]
    return f" ({', '.join(words)})" if words else ""
