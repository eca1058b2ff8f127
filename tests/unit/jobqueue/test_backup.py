"""The queue as a document, and the documents that are refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job
from jobqueue.backup import InvalidBackup, decode, encode
from jobqueue.phase import Phase
from jobqueue.tokens import Role, Token

JOBS = [
    make_job(
        "ann", 1, spec_gpus=2, spec_time_limit_s=60, spec_name="tuning", attempt=2, requeues=1
    ),
    make_job("bob", 2),
]
TOKEN = Token("ab" * 32, "ann", Role.ADMIN, NOW, NOW + 60, "laptop")


def document(**fields: Any) -> dict[str, Any]:
    return {**json.loads(encode(JOBS, [TOKEN], NOW)), **fields}


def queue_with(**fields: Any) -> str:
    [first, second] = document()["queue"]
    return json.dumps(document(queue=[first, {**second, **fields}]))


def test_round_trip() -> None:
    found = decode(encode(JOBS, [TOKEN], NOW))
    assert [replace(job, reason=JOBS[0].reason) for job in found.jobs] == JOBS
    assert found.tokens == (TOKEN,)


def test_it_reads_well() -> None:
    assert list(document()) == ["gpuq_backup", "made_at", "queue", "tokens"]
    assert document()["queue"][1] == {
        "job_id": "bob_20261124120002",
        "user": "bob",
        "config": "config.yaml",
        "workdir": "/data/bob",
        "timestamp": "2026-11-24T12:00:00",
        "name": "",
        "gpus": 1,
        "time_limit_s": None,
        "workflow": "proto-gcn",
        "submitted_at": "2026-11-18T11:06:40.000Z",
        "queued_at": "2026-11-18T11:06:40.000Z",
        "attempt": 1,
        "requeues": 0,
        "config_text": "a: 1\n",
    }


def test_what_does_not_wait_is_left_out() -> None:
    assert (
        decode(encode([replace(JOBS[0], phase=Phase.ADMITTED), JOBS[1]], [], NOW)).jobs[0].job_id
        == JOBS[1].job_id
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a backup of gpuq"),
        ("{}", "not a backup of gpuq"),
        (json.dumps(document(gpuq_backup=2)), "has version 2, but this gpuq reads only 1"),
        (json.dumps(document(queue={})), "queue of this backup must be a list"),
        (json.dumps(document(queue=[7])), r"queue\[0\] of this backup cannot be read"),
        (
            queue_with(job_id="bob"),
            r"queue\[1\] of this backup cannot be read: 'bob' is not the id of a job of bob",
        ),
        (queue_with(job_id="ann_20261124120002"), "is not the id of a job of bob"),
        (queue_with(user="../bob"), "user must be 1 to 28"),
        (queue_with(gpus="many"), "cannot be read"),
        (queue_with(gpus=0), "cannot be read"),
        (queue_with(config_text=None), "cannot be read"),
        (queue_with(submitted_at="yesterday"), "cannot be read"),
        (json.dumps(document(queue=[{"job_id": "x"}])), "user is missing"),
        (
            json.dumps(document(tokens=[{"digest": "x"}])),
            r"tokens\[0\] of this backup cannot be read",
        ),
    ],
)
def test_anything_else_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(InvalidBackup, match=says):
        decode(text)
