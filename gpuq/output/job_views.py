"""Turn jobs into listings: the columns that each command shows. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuq.output.listing import Column, Facts, Item, Listing, Rows
from gpuq.output.text import duration, reason_text
from jobqueue.clock import seconds
from jobqueue.phase import Phase


def field(name: str) -> Callable[[Item], Any]:
    """Return a reader of this field."""
    return lambda item: item.get(name)


def moment(name: str) -> Callable[[Item], Any]:
    """Return a reader of this time, without its milliseconds."""
    return lambda item: text.partition(".")[0] + "Z" if (text := item.get(name)) else None


def _reason(item: Item) -> str:
    return reason_text(item["reason"])


def _ran(item: Item) -> str | None:
    """Return how long an ended job ran; that of a running job is in its reason."""
    start, end = item.get("started_at"), item.get("finished_at")
    return duration(seconds(end) - seconds(start)) if start and end else None


JOB = Column("JOB", field("job_id"))
USER = Column("USER", field("user"))
STATUS = Column("STATUS", field("status"))
CONFIG = Column("CONFIG", field("config"))
REASON = Column("REASON", _reason)
_POSITION = Column("POSITION", field("position"))
_WAIT = Column("WAIT", field("estimated_wait"))
_START = Column("START", lambda job: moment("estimated_start_at")(job) or "unknown")
_TIMES = (
    Column("CONFIG", field("config"), wide=True),
    Column("SUBMITTED", moment("submitted_at"), wide=True),
    Column("STARTED", moment("started_at"), wide=True),
    Column("EXPECTED START", moment("estimated_start_at"), wide=True),
    Column("EXPECTED END", moment("estimated_end_at"), wide=True),
)
_STATUS = (JOB, STATUS, _POSITION, _WAIT, *_TIMES, REASON)
_QUEUE = (JOB, USER, *_STATUS[1:])
_STARTS = (JOB, USER, STATUS, _POSITION, _START, *_TIMES[:2], REASON)
_HISTORY = (
    JOB,
    STATUS,
    Column("USER", field("user"), wide=True),
    Column("NAME", field("name"), wide=True),
    CONFIG,
    Column("SUBMITTED", moment("submitted_at")),
    Column("STARTED", moment("started_at"), wide=True),
    Column("FINISHED", moment("finished_at"), wide=True),
    Column("RAN", _ran),
    Column("EXIT", field("exit_code")),
    Column("NODE", field("node"), wide=True),
    Column("GPUS", field("gpus"), wide=True),
    Column("ATTEMPT", field("attempt"), wide=True),
    Column("RUN FOLDER", field("run_folder"), wide=True),
    REASON,
)


def ids(jobs: Sequence[Item]) -> list[str]:
    """Return the jobs' ids."""
    return [str(job["job_id"]) for job in jobs]


def status(answer: Item, user: str) -> Listing:
    """Return GET /status as a listing."""
    jobs = answer["jobs"]
    return Listing(answer, Rows(_STATUS, jobs), ids(jobs), "" if jobs else f"{user} has no jobs.")


def queue(answer: Item, starts_only: bool) -> Listing:
    """Return GET /queue as a listing; `starts_only` shows the queued jobs' expected starts."""
    running, queued = answer["running"], answer["jobs"]
    hidden = answer["length"] - len(queued)
    notice = f"{len(running)} running, {answer['length']} queued"
    if hidden > 0:
        notice += f" ({hidden} not shown)"
    jobs = queued if starts_only else [*running, *queued]
    return Listing(answer, Rows(_STARTS if starts_only else _QUEUE, jobs), ids(jobs), notice)


def queue_of(answer: Item, limit: int) -> dict[str, Any]:
    """Return one user's part of the queue, from GET /status, in the form of GET /queue."""
    queued = [job for job in answer["jobs"] if job["status"] == Phase.QUEUED]
    running = [job for job in answer["jobs"] if Phase(job["status"]).holds_slot]
    return {"length": len(queued), "jobs": queued[:limit], "running": running, "next": None}


def history(answer: Item, whose: str | None) -> Listing:
    """Return GET /jobs as a listing; `whose` is None for the jobs of all users."""
    jobs, notice = answer["jobs"], ""
    if not jobs:
        notice = "No matching jobs on record" + ("." if whose is None else f" for {whose}.")
    if answer["next"]:
        notice = "More jobs match; raise --limit to see them."
    return Listing(answer, Rows(_HISTORY, jobs), ids(jobs), notice)


_SHOWN_FIRST = ("job_id", "status", "reason", "position", "estimated_wait", "estimated_end_at")
_SHOWN_APART = {"timeline", "log_tail", "links", "result"}


def record(job: Item) -> Listing:
    """Return everything about one job, with its log's end and its timeline."""
    names = [*_SHOWN_FIRST, *(name for name in job if name not in {*_SHOWN_FIRST, *_SHOWN_APART})]
    facts = [(name, _words(job.get(name))) for name in names]
    facts += [(f"result.{name}", path) for name, path in (job.get("result") or {}).items()]
    facts += [("log", line) for line in job.get("log_tail", ())]
    facts += [("timeline", _transition(step)) for step in job.get("timeline", ())]
    return Listing(job, Facts(facts), [str(job["job_id"])])


def _words(value: Any) -> str:
    if isinstance(value, dict):  # a reason
        return f"{reason_text(value)} [{value.get('code')}]"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _transition(step: Item) -> str:
    return f"{step['at']}  {step['from'] or '-'} -> {step['to']}  {reason_text(step)}"
