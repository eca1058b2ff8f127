"""This module names every Redis key; the scripts in `scripts/` use the same names.

key                             type    content
------------------------------  ------  ----------------------------------------------------------
job_queue                       LIST    JSON of each queued job; added left, taken from the right
queue_order                     ZSET    job_id -> dispatch order, in step with job_queue; the
                                        position is ZRANK + 1
user_queue:<user>               ZSET    the user's part of queue_order: the next job and the number
                                        of queued jobs of one user
running_jobs                    HASH    slot (user, user#2, …) -> JSON of the job that holds it
job:<job_id>                    HASH    the full record (job.py)
job_timeline:<job_id>           LIST    its transitions as JSON, the last 100
user_jobs:<user>                ZSET    job_id -> submission time
finished_jobs                   ZSET    job_id -> finish time; the history, trimmed by age and count
finished_counts                 HASH    phase -> the number of jobs that ever ended in it; trimming
                                        does not change it
durations:<user>:<config>       LIST    the last 50 run times (s); also durations::<config>, and
                                        durations for all jobs
events                          STREAM  one entry per transition, which wakes the loop and feeds
                                        followers; MAXLEN ~ 10000
nodes                           HASH    node -> JSON of its monitor's last answer, with the time
scheduler_heartbeat             STRING  JSON: when the last cycle ended, what it did, whether the
                                        scheduler is halted
idempotency:<user>:<key>        STRING  digest of the body and job_id; 7 days
quarantine                      LIST    unreadable entries with their key and field; the last 10000
admin                           HASH    requests of `gpuq admin`: resume_requested_at, and
                                        node_dead:<node> -> the time of the declaration
tokens                          HASH    SHA-256 of a token -> JSON: user, role, created_at,
                                        expires_at, label
scheduler_leader                STRING  the leader (PX)
scheduler_epoch                 STRING  the fencing number
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
