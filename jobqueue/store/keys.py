"""Every Redis key, its type and what stands in it. The scripts in `scripts/` use these very names; a test compares.

key                                 type    content
----------------------------------  ------  ---------------------------------------------------------------------------
job_queue                           LIST    JSON of each queued job; LPUSH at the left, the next one out at the right
queue_order                         ZSET    job_id -> dispatch order; position = ZRANK + 1; in step with job_queue
user_queue:<user>                   ZSET    that user's part of queue_order: her next job, and her number of queued jobs
running_jobs                        HASH    slot (user, user#2, …) -> JSON of the admitted or running job
job:<job_id>                        HASH    the full record (job.py)
job_timeline:<job_id>               LIST    its transitions as JSON, the last 100
user_jobs:<user>                    ZSET    job_id -> submission time
finished_jobs                       ZSET    job_id -> finish time; the history, trimmed by age and count
finished_counts                     HASH    phase -> how many jobs ever ended so; grows only, whatever is trimmed
durations:<user>:<config>           LIST    the last 50 run times (s); also durations::<config>, and durations for all
events                              STREAM  one entry per transition; wakes the loop, feeds followers; MAXLEN ~ 10000
nodes                               HASH    node -> JSON of what its monitor last said, with the time
scheduler_heartbeat                 STRING  JSON: when the last cycle ended, what it did, whether it is halted
idempotency:<user>:<key>            STRING  digest of the body and job_id; 7 days
quarantine                          LIST    entries that could not be read, with where they stood; the last 10000
admin                               HASH    what `gpuq admin` asked: resume_requested_at, node_dead:<node> -> since when
tokens                              HASH    SHA-256 of a token -> JSON: user, role, created_at, expires_at, label
scheduler_leader, scheduler_epoch   STRING  who leads (PX), and the fencing number
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
    """The three lists that a run time is learnt in, the most telling one first."""
    return f"durations:{user}:{config}", f"durations::{config}", DURATIONS
