"""The door to Redis: connection, errors, scripts, every read, and the three writes of the API.

The only file that imports `redis`. The scheduler's writes are in `leader.py`, on top of `Store.run`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobqueue import errors
from jobqueue.clock import id_stamp, rfc3339, seconds, seed_timestamp
from jobqueue.job import Job, JobSpec, QueueEntry
from jobqueue.phase import TRANSITIONS, Phase
from jobqueue.reason import Reason
from jobqueue.service.health import HealthProblem, HealthWarning, ProblemCode, WarningCode
from jobqueue.store import keys
from jobqueue.store.redis_errors import translate
from jobqueue.tokens import MOST_LIVE_PER_USER, Token

#: Stands in an entry where enqueue.lua puts the job id, which it alone can make unique.
_ID_PLACEHOLDER = "\x00"
_ID_PLACEHOLDER_IN_JSON = json.dumps(_ID_PLACEHOLDER)[1:-1]

MAX_BLOCK_S = 30.0

_DEAD = "node_dead:"  # of a field in `admin`


@dataclass(frozen=True)
class Caps:
    """How many jobs may wait: of one user, and in all."""

    per_user: int = 100
    total: int = 10_000


@dataclass(frozen=True)
class Enqueued:
    """Where a submission ended up; `existing` when its Idempotency-Key had been used before."""

    job_id: str
    position: int | None
    existing: bool


class Store:
    """What the services read from Redis, and what the API writes. Raises StoreUnavailable when Redis does not serve."""

    def __init__(self, client: redis.Redis, blocking_client: Any = None) -> None:
        self._redis: Any = client
        self._blocking: Any = blocking_client or client
        self._scripts: dict[str, Any] = {}

    @classmethod
    def connect(cls, url: str, timeout_s: float = 1.5) -> "Store":
        """A store on `url`; every call answers within about `timeout_s` or raises. Connects at the first call.

        redis-py's own retries are off: they would repeat commands that are not idempotent.
        """

        def client(**options: Any) -> Any:
            return redis.Redis.from_url(
                url,
                decode_responses=True,
                encoding_errors="surrogateescape",
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=timeout_s,
                **options,
            )

        # A blocking read has its own client, whose socket timeout is longer than any block (see `wait_events`).
        return cls(client(socket_timeout=timeout_s), client(socket_timeout=MAX_BLOCK_S + 5))

    # -- errors ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise translate(error) from error

    def run(self, script: str, *args: Any) -> Any:
        """Run `scripts/<script>.lua`; raises what jobqueue.errors names, and StoreUnavailable where Redis is away."""
        with self._translated():
            if script not in self._scripts:
                self._scripts[script] = self._redis.register_script(_source(script))
            return self._scripts[script](args=args)

    # -- writes of the API -----------------------------------------------------------------------------------------

    def enqueue(
        self, spec: JobSpec, at: float, caps: Caps, idempotency_key: str = "", digest: str = ""
    ) -> Enqueued:
        """Put a job at the back of the queue. Raises QueueFull, IdempotencyConflict."""
        entry = QueueEntry(
            spec.user, spec.config, spec.workdir, seed_timestamp(at), _ID_PLACEHOLDER
        ).encode()
        before, _, after = entry.rpartition(_ID_PLACEHOLDER_IN_JSON)  # the job id stands last
        fields = [item for pair in spec.to_hash().items() for item in pair]
        answer = self.run(
            "enqueue",
            spec.user,
            f"{spec.user}_{id_stamp(at)}",
            before,
            after,
            rfc3339(at),
            at,
            caps.per_user,
            caps.total,
            keys.idempotency(spec.user, idempotency_key) if idempotency_key else "",
            digest,
            keys.IDEMPOTENCY_TTL_S,
            "Just submitted; the scheduler looks at it within seconds.",
            *fields,
        )
        kind, job_id, position = answer
        return Enqueued(job_id, int(position) or None, existing=kind == "existing")

    def cancel(self, job_id: str, at: float) -> Phase:
        """Cancel a queued job, or ask for an admitted or running one's end; returns its phase now. Idempotent."""
        phase = self.run(
            "cancel",
            job_id,
            rfc3339(at),
            at,
            "Cancelled by its user before it started.",
            "A cancel was asked for; the training is being stopped.",
        )
        return Phase(phase)

    def retry(self, job_id: str, at: float, caps: Caps) -> int:
        """Queue a failed or cancelled job again as its next attempt; returns the position. Raises InvalidTransition."""
        message = "Queued again; it resumes from its last checkpoint."
        return int(self.run("retry", job_id, rfc3339(at), caps.per_user, caps.total, message))

    def restore_queued(self, job: Job, at: float) -> bool:
        """Put a queued job of a backup at the back of the queue; False where it is known already. No cap applies."""
        message = "Restored from a backup; the scheduler looks at it within seconds."
        head = (
            job.job_id,
            job.spec.user,
            rfc3339(at),
            job.submitted_at,
            job.entry,
            job.attempt,
            message,
        )
        return bool(
            self.run(
                "restore_queued", *head, *(word for pair in job.to_hash().items() for word in pair)
            )
        )

    # -- reads: one job --------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """The whole record; raises JobNotFound."""
        with self._translated():
            record = self._redis.hgetall(keys.job(job_id))
        if not record:
            raise errors.JobNotFound(job_id)
        return Job.from_hash(record)

    def jobs(self, job_ids: Iterable[str]) -> list[Job]:
        """The records of these ids in order, without config texts and log tails; unreadable ones are left out."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(keys.job(job_id), Job.LIST_FIELDS)
            rows = pipe.execute()
        records = [
            {
                name: value
                for name, value in zip(Job.LIST_FIELDS, row, strict=True)
                if value is not None
            }
            for row in rows
        ]
        return [job for record in records if record.get("job_id") and (job := _readable(record))]

    def timeline(self, job_id: str) -> list[dict[str, str]]:
        """The job's transitions, the oldest first: at, from, to, code, message, detail."""
        with self._translated():
            lines = [json.loads(line) for line in self._redis.lrange(keys.timeline(job_id), 0, -1)]
        return [_transition(line) for line in lines]

    def position(self, job_id: str) -> int | None:
        """1 = next; None when it is not queued."""
        with self._translated():
            rank = self._redis.zrank(keys.QUEUE_ORDER, job_id)
        return None if rank is None else rank + 1

    def positions(self, job_ids: Sequence[str]) -> dict[str, int]:
        """The positions of those that are queued, in one round trip."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.zrank(keys.QUEUE_ORDER, job_id)
            ranks = pipe.execute()
        return {
            job_id: rank + 1
            for job_id, rank in zip(job_ids, ranks, strict=True)
            if rank is not None
        }

    # -- reads: the queue and what runs ----------------------------------------------------------------------------

    def queue_length(self) -> int:
        with self._translated():
            return int(self._redis.llen(keys.JOB_QUEUE))

    def queue_raw(self, start: int, count: int) -> list[str]:
        """`count` raw entries in dispatch order from `start` (0 = next out), which is the right end of the list."""
        with self._translated():
            entries = self._redis.lrange(keys.JOB_QUEUE, -(start + count), -(start + 1))
        return list(reversed(entries))

    def order(self, start: int, count: int) -> list[str]:
        """Job ids in dispatch order from `start` (0 = next)."""
        with self._translated():
            return list(self._redis.zrange(keys.QUEUE_ORDER, start, start + count - 1))

    def order_length(self) -> int:
        with self._translated():
            return int(self._redis.zcard(keys.QUEUE_ORDER))

    def user_queue(self, user: str, count: int) -> list[str]:
        """The user's next `count` queued job ids in dispatch order."""
        with self._translated():
            return list(self._redis.zrange(keys.user_queue(user), 0, count - 1))

    def running_raw(self) -> dict[str, str]:
        """`running_jobs` as it stands: slot -> raw entry."""
        with self._translated():
            return dict(self._redis.hgetall(keys.RUNNING_JOBS))

    def running(self) -> list[Job]:
        """The admitted and running jobs, the longest admitted first; unreadable slots are left to `Leader.repair`."""
        ids = []
        for raw in self.running_raw().values():
            try:
                ids.append(QueueEntry.decode(raw).job_id)
            except errors.CorruptEntry:
                continue
        return sorted(self.jobs(ids), key=lambda job: (job.admitted_at or 0, job.job_id))

    # -- reads: history --------------------------------------------------------------------------------------------

    def user_jobs(self, user: str, start: int, count: int) -> list[str]:
        """The user's job ids from `start`, the newest submission first."""
        with self._translated():
            return list(self._redis.zrevrange(keys.user_jobs(user), start, start + count - 1))

    def finished(self, start: int, count: int) -> list[str]:
        """Finished job ids from `start`, the newest first."""
        with self._translated():
            return list(self._redis.zrevrange(keys.FINISHED_JOBS, start, start + count - 1))

    def finished_length(self) -> int:
        with self._translated():
            return int(self._redis.zcard(keys.FINISHED_JOBS))

    def durations(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float | None]:
        """For each (user, config) the mean run time (s) of the most telling list that has any, or None."""
        names = sorted({key for pair in pairs for key in keys.durations(*pair)} | {keys.DURATIONS})
        means = {
            key: float(mean) if mean else None
            for key, mean in zip(names, self._means(names), strict=True)
        }
        return {
            pair: next(
                (means[key] for key in keys.durations(*pair) if means[key] is not None), None
            )
            for pair in pairs
        }

    def _means(self, names: Sequence[str]) -> list[str]:
        """In Redis, because the queue's head may stand for hundreds of lists."""
        return list(self.run("mean_durations", *names))

    # -- reads: the scheduler's words ------------------------------------------------------------------------------

    def heartbeat(self) -> dict[str, Any] | None:
        with self._translated():
            text = self._redis.get(keys.HEARTBEAT)
        return json.loads(text) if text else None

    def nodes(self) -> dict[str, dict[str, Any]]:
        """node -> what its monitor last said (`snapshot` or `error`), with `at`, which is None where nobody knows."""
        with self._translated():
            return {
                node: _node_record(text)
                for node, text in sorted(self._redis.hgetall(keys.NODES).items())
            }

    def finished_counts(self) -> dict[Phase, int]:
        """How many jobs ever ended in each phase."""
        with self._translated():
            counts = self._redis.hgetall(keys.FINISHED_COUNTS)
        return {phase: int(counts.get(phase.value, 0)) for phase in Phase if phase.is_finished}

    def quarantine(self) -> list[dict[str, str]]:
        with self._translated():
            return [json.loads(text) for text in self._redis.lrange(keys.QUARANTINE, 0, -1)]

    def quarantine_length(self) -> int:
        with self._translated():
            return int(self._redis.llen(keys.QUARANTINE))

    def resume_requested_at(self) -> float:
        """When an admin last asked a halted scheduler to resume; 0 = never."""
        with self._translated():
            return float(self._redis.hget(keys.ADMIN, "resume_requested_at") or 0)

    def request_resume(self, at: float) -> None:
        with self._translated():
            self._redis.hset(keys.ADMIN, "resume_requested_at", at)

    def dead_nodes(self) -> dict[str, float]:
        """The nodes that an admin has declared dead, and since when."""
        with self._translated():
            asked = self._redis.hgetall(keys.ADMIN)
        return {
            name.removeprefix(_DEAD): float(at)
            for name, at in asked.items()
            if name.startswith(_DEAD)
        }

    def declare_dead(self, node: str, at: float) -> None:
        with self._translated():
            self._redis.hset(keys.ADMIN, _DEAD + node, at)

    def declare_alive(self, node: str) -> bool:
        """Take the declaration back; False where there was none."""
        with self._translated():
            return bool(self._redis.hdel(keys.ADMIN, _DEAD + node))

    def wait_events(self, last_id: str, block_s: float) -> tuple[str, list[dict[str, str]]]:
        """The transitions after `last_id`, waiting up to `block_s` (at most MAX_BLOCK_S); and the id to go on from."""
        with self._translated():
            block = int(min(block_s, MAX_BLOCK_S) * 1000)
            answer = self._blocking.xread({keys.EVENTS: last_id}, count=100, block=block)
        streams = (
            list(answer.values())
            if isinstance(answer, dict)
            else [rows for _, rows in answer or []]
        )
        rows = [row for batch in streams for row in _flat(batch)]
        return (rows[-1][0] if rows else last_id), [fields for _, fields in rows]

    def last_event_id(self) -> str:
        with self._translated():
            rows = self._redis.xrevrange(keys.EVENTS, count=1)
        return rows[0][0] if rows else "0-0"

    # -- access tokens ---------------------------------------------------------------------------------------------

    def token_and_owner(self, digest: str, job_id: str) -> tuple[Token | None, str | None]:
        """The token of this digest, and whose job that is; None for what there is not. One round trip."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.TOKENS, digest)
            pipe.hget(keys.job(job_id), "user")
            text, owner = pipe.execute()
        return (None if text is None else Token.decode(digest, text)), owner

    def add_token(self, token: Token) -> None:
        """Raises TooManyTokens."""
        self.run(
            "add_token",
            token.user,
            token.digest,
            token.encode(),
            rfc3339(token.created_at),
            MOST_LIVE_PER_USER,
        )

    def restore_token(self, token: Token) -> bool:
        """Put a token of a backup back; False where it is there already."""
        with self._translated():
            return bool(self._redis.hsetnx(keys.TOKENS, token.digest, token.encode()))

    def tokens(self) -> list[Token]:
        """All that are kept, expired ones too, in the order of users and creation."""
        with self._translated():
            records = self._redis.hgetall(keys.TOKENS)
        found = [Token.decode(digest, text) for digest, text in records.items()]
        return sorted(found, key=lambda token: (token.user, token.created_at))

    def remove_tokens(self, digests: Sequence[str]) -> None:
        if digests:
            with self._translated():
                self._redis.hdel(keys.TOKENS, *digests)

    # -- readiness -------------------------------------------------------------------------------------------------

    def problem(self) -> HealthProblem | None:
        """Return why Redis must not be used as a queue; None when it may be used."""
        with self._translated():
            version = str(self._redis.info("server").get("redis_version", "0"))
        if int(version.split(".")[0]) < 6:
            text = f"Redis {version} is too old; gpuq needs Redis 6 or newer, or Valkey."
            return HealthProblem(ProblemCode.REDIS_TOO_OLD, text)
        policy = self._config("maxmemory-policy")
        if policy and policy != "noeviction":
            text = (
                f"Redis may evict queued jobs (maxmemory-policy {policy}); "
                "fix it with: redis-cli config set maxmemory-policy noeviction"
            )
            return HealthProblem(ProblemCode.REDIS_EVICTS, text)
        return None

    def warnings(self) -> list[HealthWarning]:
        """Return what weakens the promise that an acknowledged job is never lost."""
        appendonly, fsync = self._config("appendonly"), self._config("appendfsync")
        if appendonly is None:
            text = (
                "Redis does not show its durability settings (CONFIG is refused); "
                "check that appendonly is yes."
            )
            return [HealthWarning(WarningCode.CONFIG_REFUSED, text)]
        if appendonly != "yes":
            text = (
                "Redis keeps no append-only file, so a crash loses the queue; "
                "set appendonly yes and appendfsync always."
            )
            return [HealthWarning(WarningCode.AOF_OFF, text)]
        if fsync != "always":
            text = (
                f"Redis writes its file with appendfsync {fsync}, so a crash may lose the last "
                "second; set appendfsync always."
            )
            return [HealthWarning(WarningCode.APPENDFSYNC_NOT_ALWAYS, text)]
        return []

    def _config(self, name: str) -> str | None:
        try:
            return self._redis.config_get(name).get(name)
        except (
            redis.ResponseError
        ):  # a managed Redis may refuse CONFIG; unknown is a warning, not a failure
            return None
        except redis.RedisError as error:
            raise translate(error) from error


def _readable(record: dict[str, str]) -> Job | None:
    try:
        return Job.from_hash(record)
    except errors.CorruptEntry:  # the leader puts it aside (Leader.repair); a list does without it
        return None


def _transition(line: dict[str, str]) -> dict[str, str]:
    """Return a line of a timeline with its fields in order: a table of Lua has none."""
    code, message = line.get("code", ""), line.get("message", "")
    reason = Reason.read(code, message, line.get("detail"))
    return {name: line.get(name, "") for name in ("at", "from", "to")} | reason.to_dict()


def _node_record(text: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(text)
        seconds(record["at"])
    except (
        ValueError,
        TypeError,
        KeyError,
    ):  # a hand was there; the scheduler writes it anew in its next cycle
        return {
            "at": None,
            "snapshot": None,
            "error": "what Redis holds about this node cannot be read",
        }
    return record


@cache
def _source(script: str) -> str:
    folder = resources.files("jobqueue.store") / "scripts"
    rows = ", ".join(
        f"{phase.value} = {{{', '.join(f'{to.value} = true' for to in sorted(targets))}}}"
        for phase, targets in TRANSITIONS.items()
    )
    lib = (folder / "lib.lua").read_text(encoding="utf-8")
    return f"local TRANSITIONS = {{{rows}}}\n{lib}\n{(folder / f'{script}.lua').read_text(encoding='utf-8')}"


def _flat(batch: Any) -> list[Any]:
    """RESP3 wraps a stream's rows in one more list than RESP2."""
    return (
        batch[0]
        if batch and isinstance(batch[0], list) and batch[0] and isinstance(batch[0][0], tuple)
        else batch
    )
