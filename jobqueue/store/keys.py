"""This table lists every Redis key. The scripts use the same names, which a test checks.

key                                 type    content
----------------------------------  ------  ------------------------------------------------------
job_queue                           LIST    JSON of each queued job; the next one is at the right
queue_order                         ZSET    job_id -> dispatch order; position = ZRANK + 1
user_queue:<user>                   ZSET    this user's part of queue_order
running_jobs                        HASH    slot (user, user#2, …) -> JSON of the job with the slot
job:<job_id>                        HASH    the full record (job.py)
job_timeline:<job_id>               LIST    its transitions as JSON, the last 100
user_jobs:<user>                    ZSET    job_id -> submission time
finished_jobs                       ZSET    job_id -> finish time; trimmed by age and count
finished_counts                     HASH    phase -> number of jobs that ever ended so
durations:<user>:<config>           LIST    the last 50 run times (s); also durations::<config>,
                                            and durations for all
events                              STREAM  one entry per transition; MAXLEN ~ 10000
nodes                               HASH    node -> JSON of its monitor's last answer, with the time
scheduler_heartbeat                 STRING  JSON about the last cycle, and whether it is halted
idempotency:<user>:<key>            STRING  digest of the body and job_id; 7 days
quarantine                          LIST    unreadable entries with their place; the last 10000
admin                               HASH    resume_requested_at; node_dead:<node> -> since when
tokens                              HASH    SHA-256 of a token -> JSON of its record
scheduler_leader, scheduler_epoch   STRING  the leader (expires), and the fencing number
"""

JOB_QUEUE = "job_queue"
QUEUE_ORDER = "queue_order"
RUNNING_JOBS = "running_jobs"
FINISHED_JOBS = "finished_jobs"
FINISHED_COUNTS = "finished_counts"
DURATIONS = "durations"
EVENTS = "events"
NODES = "nodes"
HEARTBEAT = "scheduler_heartbeat"
QUARANTINE = "quarantine"
ADMIN = "admin"
TOKENS = "tokens"

IDEMPOTENCY_TTL_S = 7 * 24 * 3600


def job(job_id: str) -> str:
    return f"job:{job_id}"


def timeline(job_id: str) -> str:
    return f"job_timeline:{job_id}"


def user_jobs(user: str) -> str:
    return f"user_jobs:{user}"


def user_queue(user: str) -> str:
    return f"user_queue:{user}"


def idempotency(user: str, key: str) -> str:
    return f"idempotency:{user}:{key}"


def durations(user: str, config: str) -> tuple[str, str, str]:
    """Return the three lists that a run time is added to, the most specific one first."""
    return f"durations:{user}:{config}", f"durations::{config}", DURATIONS
