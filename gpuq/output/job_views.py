"""Jobs as listings: which columns each command shows. Pure functions of the API's objects."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuq.output.listing import Column, Facts, Item, Listing, Rows
from gpuq.output.text import duration
from jobqueue.clock import seconds
from jobqueue.phase import Phase


def field(name: str) -> Callable[[Item], Any]:
    return lambda item: item.get(name)


def moment(name: str) -> Callable[[Item], Any]:
    """A time of the API without its milliseconds."""
    return lambda item: text.partition(".")[0] + "Z" if (text := item.get(name)) else None


def _reason(item: Item) -> str:
    return str(item["reason"]["message"])


def _ran(item: Item) -> str | None:
    """How long it has run, of a job that has ended; a running one's is in its reason."""
    start, end = item.get("started_at"), item.get("finished_at")
    return duration(seconds(end) - seconds(start)) if start and end else None


JOB, USER, STATUS = (
    Column("JOB", field("job_id")),
    Column("USER", field("user")),
    Column("STATUS", field("status")),
)
CONFIG, REASON = Column("CONFIG", field("config")), Column("REASON", _reason)
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
    return [str(job["job_id"]) for job in jobs]


def status(answer: Item, user: str) -> Listing:
    jobs = answer["jobs"]
    return Listing(answer, Rows(_STATUS, jobs), ids(jobs), "" if jobs else f"{user} has no jobs.")


def queue(answer: Item, starts_only: bool) -> Listing:
    """What runs and what waits; `starts_only`: when those that wait are expected to start."""
    running, queued = answer["running"], answer["jobs"]
    more = answer["length"] - len(queued)
    talk = f"{len(running)} running, {answer['length']} queued" + (
        f" ({more} not shown)" if more > 0 else ""
    )
    jobs = queued if starts_only else [*running, *queued]
    return Listing(answer, Rows(_STARTS if starts_only else _QUEUE, jobs), ids(jobs), talk)


def queue_of(answer: Item, limit: int) -> dict[str, Any]:
    """One user's part of the queue, from her GET /status, in the shape of GET /queue."""
    queued = [job for job in answer["jobs"] if job["status"] == Phase.QUEUED]
    running = [job for job in answer["jobs"] if Phase(job["status"]).holds_slot]
    return {"length": len(queued), "jobs": queued[:limit], "running": running, "next": None}


def history(answer: Item, whose: str) -> Listing:
    jobs = answer["jobs"]
    talk = "" if jobs else f"Nothing of {whose} is on record."
    return Listing(
        answer,
        Rows(_HISTORY, jobs),
        ids(jobs),
        "There are more: --limit." if answer["next"] else talk,
    )


_SHOWN_FIRST = ("job_id", "status", "reason", "position", "estimated_wait", "estimated_end_at")
_SHOWN_APART = {"timeline", "log_tail", "links", "result"}


def record(job: Item) -> Listing:
    """Everything about one job, with its log's end and its timeline."""
    names = [*_SHOWN_FIRST, *(name for name in job if name not in {*_SHOWN_FIRST, *_SHOWN_APART})]
    facts = [(name, _words(job.get(name))) for name in names]
    facts += [(f"result.{name}", path) for name, path in (job.get("result") or {}).items()]
    facts += [("log", line) for line in job.get("log_tail", ())]
    facts += [("timeline", _transition(step)) for step in job.get("timeline", ())]
    return Listing(job, Facts(facts), [str(job["job_id"])])


def _words(value: Any) -> str:
    if isinstance(value, dict):  # a reason
        return f"{value.get('message')} [{value.get('code')}]"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _transition(step: Item) -> str:
    return f"{step['at']}  {step['from'] or '-'} -> {step['to']}  {step['message']}"
