"""What `gpuq doctor` makes of the answers that it got: one line a part, with the command that mends a red one. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpuq.output.listing import Item
from gpuq.output.text import duration
from jobqueue.resources import NodeReasonCode

#: The scheduler looks at every node in each cycle; three of the slowest usual ones.
OLD_S = 90
_MOST_NAMED = 5
_LOGS = "~/.local/share/gpuq/logs"


@dataclass(frozen=True)
class Check:
    """`remedy` is a command for whoever may mend it; empty where nothing is wrong."""

    part: str
    says: str
    remedy: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.remedy


def server(url: str, trouble: str | None) -> Check:
    if trouble is None:
        return Check("server", f"{url} answers")
    return Check(
        "server", trouble, "gpuq up  # or name another one: gpuq --server http://HOST:8081 doctor"
    )


def version(ours: str, theirs: str) -> Check:
    if ours == theirs:
        return Check("version", f"{ours}, here and there")
    return Check(
        "version",
        f"this is gpuq {ours}, the server's is {theirs}",
        f"pip install 'gpuq-lab=={theirs}'",
    )


def redis(trouble: str | None, warnings: Sequence[str]) -> list[Check]:
    """`trouble` is the sentence of a /readyz that is not ready."""
    if trouble is not None and not _is_of_scheduler(trouble):
        return [Check("redis", trouble, _remedy(trouble, _REDIS, "redis-cli -u $REDIS_URL ping"))]
    if not warnings:
        return [
            Check(
                "redis",
                "reachable; evicts nothing" + ("" if trouble else ", writes everything down"),
            )
        ]
    return [
        Check("redis", warning, _remedy(warning, _REDIS, "redis-cli config get append*"))
        for warning in warnings
    ]


def scheduler(trouble: str | None) -> Check:
    if trouble is None:
        return Check("scheduler", "reports; a job submitted now is kept and started")
    if _is_of_scheduler(trouble):
        return Check(
            "scheduler", trouble, _remedy(trouble, _SCHEDULER, f"tail {_LOGS}/scheduler.log")
        )
    return Check(
        "scheduler",
        "not known as long as Redis does not serve",
        "gpuq doctor  # again, when Redis is back",
    )


def token(trouble: str | None, has_one: bool, user: str, is_needed: bool = True) -> Check:
    """`trouble` is the sentence of a refused call that every token opens; without a token the call was tried too."""
    if trouble is None:
        return Check("token", "accepted" if has_one and is_needed else "the server asks for none")
    if has_one:
        return Check(
            "token",
            trouble,
            f"gpuq admin token create --user {user}  # an admin; then set GPUQ_TOKEN to it",
        )
    return Check("token", trouble, "export GPUQ_TOKEN=gpuq_…  # or gpuq --token-file FILE …")


def nodes(answer: Item) -> list[Check]:
    if not answer["nodes"]:
        return [
            Check("nodes", "no monitor has been heard yet", f"tail {_LOGS}/resource-monitor.log")
        ]
    return [_node(node) for node in answer["nodes"]]


def configs(answer: Item) -> Check:
    names = [each["name"] for each in answer["configs"]]
    if not names:
        return Check(
            "configs",
            "none on the server",
            "cp config.yaml $CONFIG_ROOT/  # or submit --config @FILE",
        )
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return Check("configs", ", ".join(names[:_MOST_NAMED]) + more)


def templates(answer: Item, trouble: str | None, untried: str = "") -> Check:
    """`trouble`: why a dry run could not make a Workflow of the default one; `untried`: why none could be asked for."""
    found = answer["workflows"]
    if not any(each["is_default"] for each in found):
        return Check(
            "templates",
            "the default template is not there",
            "ls -l $WORKFLOW_TEMPLATE  # on the server",
        )
    if trouble is not None:
        return Check(
            "templates",
            trouble,
            "gpuq submit --config demo.yaml --dry-run  # when the template is mended",
        )
    names = ", ".join(each["name"] + _kind(each) for each in found)
    return Check("templates", f"{names}; not tried out: {untried}" if untried else names)


def disk(folder: str, free_bytes: int, needed_bytes: int) -> Check:
    says = f"{free_bytes / 1024**3:.1f} GiB free in {folder}"
    if free_bytes >= needed_bytes:
        return Check("disk", says)
    remedy = f"du -sh {folder}/data/*/runs/*  # make room, or gpuq up --data-dir on another disk"
    return Check("disk", f"{says}; at least {needed_bytes // 1024**2} MB are needed", remedy)


def _is_of_scheduler(trouble: str) -> bool:
    return trouble.startswith("The scheduler")


#: A word of the sentence -> the command. The first that fits.
_REDIS = (
    ("maxmemory-policy", "redis-cli config set maxmemory-policy noeviction"),
    ("append-only", "redis-cli config set appendonly yes; redis-cli config set appendfsync always"),
    ("appendfsync", "redis-cli config set appendfsync always"),
    ("CONFIG", "redis-cli config get appendonly  # as its admin"),
    ("too old", "redis-server --version  # and a newer one; gpuq up brings its own"),
)
_SCHEDULER = (
    ("halted", "gpuq admin resume"),
    ("cannot be read", "gpuq --version  # the scheduler's must be the same"),
)


def _remedy(sentence: str, remedies: Sequence[tuple[str, str]], otherwise: str) -> str:
    return next((command for word, command in remedies if word in sentence), otherwise)


#: What is amiss with a node, and not just in use.
_BROKEN = {
    NodeReasonCode.GPU_UNKNOWN: "nvidia-smi",
    NodeReasonCode.GPU_LOST: "nvidia-smi -r  # or restart the node; dmesg | grep -i xid says why",
    NodeReasonCode.NO_GPU: "nvidia-smi  # a node without a GPU on purpose: REQUIRE_GPU=false",
    NodeReasonCode.NO_DRIVER: "nvidia-smi  # after an update of the driver: restart the node",
    NodeReasonCode.CPU_UNKNOWN: f"tail {_LOGS}/resource-monitor.log",
    NodeReasonCode.MEMORY_UNKNOWN: f"tail {_LOGS}/resource-monitor.log",
    NodeReasonCode.STALE: "timeout 10 nvidia-smi  # where it hangs too, restart the node",
    NodeReasonCode.STARTING: "gpuq doctor  # again, in a few seconds",
}


def _node(node: Item) -> Check:
    part = f"node {node['node']}"
    if node.get("error"):
        return Check(part, str(node["error"]), f"tail {_LOGS}/resource-monitor.log  # on that node")
    age = f"heard {duration(node['age_s'])} ago"
    if node["age_s"] > OLD_S:
        return Check(part, f"{age} for the last time", f"tail {_LOGS}/scheduler.log")
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
