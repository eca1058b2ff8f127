"""The record of a job: its forms in Redis and in the API, and what makes it unreadable."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from jobqueue.errors import CorruptEntry
from jobqueue.job import (
    PUBLIC,
    Job,
    JobSpec,
    QueueEntry,
    Result,
    check_whole,
)
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode

ENTRY = QueueEntry("ann", "größe.yaml", "/data/ann", "2026-11-24T12:00:01", "ann_20261124120001")
SPEC = JobSpec("ann", "größe.yaml", "/data/ann", "a: 1\n", "label", 2, 60, "other")
JOB = Job(
    job_id="ann_20261124120001",
    spec=SPEC,
    entry=ENTRY.encode(),
    phase=Phase.FAILED,
    reason=Reason(ReasonCode.TRAINING_FAILED, "It ended.", "boom"),
    submitted_at=1_795_000_000.0,
    queued_at=1_795_000_001.0,
    admitted_at=1_795_000_002.0,
    started_at=1_795_000_003.0,
    finished_at=1_795_000_004.0,
    attempt=2,
    requeues=1,
    engine="argo",
    node="gpu-1",
    gpu_uuids=("GPU-a", "GPU-b"),
    workflow_name="w",
    workflow_uid="uid",
    result=Result(1, ("a", "boom")),
)
#: What only the Redis scripts write.
BY_SCRIPTS = {
    "phase": "failed",
    "cancel_requested_at": "2026-11-18T11:06:45.000Z",
    "breaks": "2",
    "slot": "ann",
    "withdrawn_uid": "uid",
    "waited_until": "2026-11-18T11:06:46.000Z",
}
REASON = {
    "reason_code": "training_failed",
    "reason_message": "It ended.",
    "reason_detail": "boom",
}


class TestQueueEntry:
    def test_it_is_json_with_the_version(self) -> None:
        text = (
            '{"user": "ann", "config": "größe.yaml", "workdir": "/data/ann", '
            '"timestamp": "2026-11-24T12:00:01", "job_id": "ann_20261124120001", "v": 1}'
        )
        assert ENTRY.encode() == text
        assert QueueEntry.decode(text) == ENTRY

    @pytest.mark.parametrize(
        ("raw", "why"),
        [
            ("{", "Expecting property name"),
            ("[]", "must be a mapping"),
            ("{}", "missing 5 required"),
            (ENTRY.encode().replace('"v": 1', '"v": 2'), "version 2 is unknown"),
            (ENTRY.encode().replace('"v": 1', '"v": "1"'), "version '1' is unknown"),
            (ENTRY.encode().replace('"v": 1', '"w": 1'), "unexpected keyword argument 'w'"),
            *(
                (json.dumps({**ENTRY.__dict__, name: 3}), "a field is not a text")
                for name in ("user", "config", "workdir", "job_id")
            ),
        ],
    )
    def test_one_that_cannot_be_read_is_corrupt(self, raw: str, why: str) -> None:
        with pytest.raises(CorruptEntry, match=why) as caught:
            QueueEntry.decode(raw)
        assert caught.value.raw == raw

    def test_so_is_one_that_is_nested_too_deeply(self) -> None:
        with pytest.raises(CorruptEntry):
            QueueEntry.decode("[" * 100_000)


class TestCheckWhole:
    def test_an_entry_and_a_record_of_one_submission_pass(self) -> None:
        check_whole(ENTRY, SPEC)
        check_whole(replace(ENTRY, job_id=f"{ENTRY.job_id}_123456789"), SPEC)
        check_whole(ENTRY, replace(SPEC, gpus=1))

    @pytest.mark.parametrize(
        ("entry", "spec", "why"),
        [
            ({}, {"gpus": 0}, "^a field has a value of the wrong type$"),
            ({}, {"name": 3}, "^a field has a value of the wrong type$"),
            *(
                ({name: "other"}, {}, "^the queue entry and the record belong to different sub")
                for name in ("user", "config", "workdir")
            ),
            ({"user": "A b"}, {"user": "A b"}, "^user must be "),
            *(
                ({"job_id": job_id}, {}, f"^'{job_id}' is not the id of a job of ann$")
                for job_id in (
                    "bob_20261124120001",
                    "ann_2026112412000",
                    "ann_202611241200011",
                    "ann_20261124120001_",
                    "ann_20261124120001_1234567890",
                    "ann_20261124120001_x",
                )
            ),
        ],
    )
    def test_everything_else_is_refused(
        self, entry: dict[str, Any], spec: dict[str, Any], why: str
    ) -> None:
        with pytest.raises(ValueError, match=why):
            check_whole(replace(ENTRY, **entry), replace(SPEC, **spec))


class TestRecord:
    def test_a_minimal_one_has_these_defaults(self) -> None:
        least = Job("id", JobSpec("ann", "a.yaml", "/w"), "{}", Phase.QUEUED, JOB.reason, 1.0, 2.0)
        found = {each.name: getattr(least, each.name) for each in fields(Job)[7:]}
        counts = {"attempt": 1, "requeues": 0, "breaks": 0}
        others = dict.fromkeys(found, None) | {"gpu_uuids": (), "result": Result(None, ())}
        assert found == others | counts
        spec = JobSpec("ann", "a.yaml", "/w", "", "", 1, None, "proto-gcn")
        assert least.spec == spec

    def test_redis_keeps_it_and_the_scripts_add_what_they_write(self) -> None:
        job = replace(
            JOB,
            cancel_requested_at=1_795_000_005.0,
            breaks=2,
            slot="ann",
            withdrawn_uid="uid",
            waited_until=1_795_000_006.0,
        )
        texts = job.to_hash()
        assert not set(texts) & (set(BY_SCRIPTS) | set(REASON))
        assert Job.from_hash(texts | BY_SCRIPTS | REASON) == job

    def test_an_absent_message_is_empty_and_an_absent_detail_is_read_from_it(self) -> None:
        texts = JOB.to_hash() | BY_SCRIPTS
        code = {"reason_code": "training_failed"}
        assert Job.from_hash(texts | code).reason == Reason(ReasonCode.TRAINING_FAILED, "")
        message = "The training ended with exit code 1"
        old = Job.from_hash(texts | code | {"reason_message": f"{message}: boom"})
        assert old.reason == Reason(ReasonCode.TRAINING_FAILED, f"{message}.", "boom")

    @pytest.mark.parametrize("detail", [None, "", "a line of the attempt before"])
    @pytest.mark.parametrize(
        ("code", "sentence"),
        [
            ("training_failed", "The training ended with exit code 1"),
            ("training_failed", "The training did not run"),
            ("bad_config", "The training refused its configuration or data"),
            (
                "gpu_busy",
                "It is next again, because what it needs on n: 1 was taken when it started",
            ),
        ],
    )
    def test_a_sentence_of_an_earlier_version_never_shows_its_log_line(
        self, code: str, sentence: str, detail: str | None
    ) -> None:
        """During an upgrade an earlier scheduler writes messages, and this version details."""
        found = Reason.read(code, f"{sentence}: SECRET: of X", detail)
        assert found == Reason(code, f"{sentence}.", "SECRET: of X")
        assert "SECRET" not in found.without_detail().message

    def test_a_detail_belongs_only_to_reasons_that_quote_the_log(self) -> None:
        assert Reason.read("cancelled", "Cancelled by its user.", "SECRET").detail == ""
        assert Reason.read("training_failed", "It ended.", "boom").detail == "boom"

    @pytest.mark.parametrize(
        "change", [{"gpus": "many"}, {"phase": "lost"}, {"submitted_at": "today"}]
    )
    def test_one_that_cannot_be_read_is_corrupt_and_quoted(self, change: dict[str, str]) -> None:
        texts = JOB.to_hash() | BY_SCRIPTS | REASON | change
        with pytest.raises(CorruptEntry, match=r"record: ValueError\(") as caught:
            Job.from_hash(texts)
        assert caught.value.raw == json.dumps(texts)[:500]

    @pytest.mark.parametrize("name", ["user", "phase", "reason_code"])
    def test_so_is_one_that_lacks_a_field(self, name: str) -> None:
        texts = JOB.to_hash() | BY_SCRIPTS | REASON
        del texts[name]
        with pytest.raises(CorruptEntry, match=f"record: KeyError\\('{name}'\\)"):
            Job.from_hash(texts)

    def test_the_run_folder_is_below_the_workdir(self) -> None:
        assert JOB.run_folder == "/data/ann/runs/ann_20261124120001"

    def test_the_api_shows_it_so(self) -> None:
        assert JOB.to_dict() == {
            "job_id": "ann_20261124120001",
            "user": "ann",
            "status": "failed",
            "reason": {"code": "training_failed", "message": "It ended.", "detail": "boom"},
            "name": "label",
            "config": "größe.yaml",
            "workdir": "/data/ann",
            "gpus": 2,
            "time_limit_s": 60,
            "workflow": "other",
            "submitted_at": "2026-11-18T11:06:40.000Z",
            "queued_at": "2026-11-18T11:06:41.000Z",
            "admitted_at": "2026-11-18T11:06:42.000Z",
            "started_at": "2026-11-18T11:06:43.000Z",
            "finished_at": "2026-11-18T11:06:44.000Z",
            "cancel_requested_at": None,
            "attempt": 2,
            "requeues": 1,
            "node": "gpu-1",
            "gpu_uuids": ["GPU-a", "GPU-b"],
            "workflow_name": "w",
            "exit_code": 1,
            "run_folder": "/data/ann/runs/ann_20261124120001",
        }
        assert list(JOB.to_dict())[:5] == ["job_id", "user", "status", "reason", "name"]

    def test_a_backup_keeps_the_submission_and_how_often_it_was_tried(self) -> None:
        kept = Job.FIELDS.to_json(JOB, {"in_backup": True})
        assert set(kept) == {"submitted_at", "queued_at", "attempt", "requeues"}

    def test_lists_have_everything_but_the_large_fields(self) -> None:
        large = {"config_text", "log_tail"}
        everything = set(JOB.to_hash()) | set(BY_SCRIPTS) | set(REASON)
        assert set(Job.LIST_FIELDS) == everything - large

    def test_everybody_may_see_these_fields_of_the_answer(self) -> None:
        assert set(PUBLIC) <= set(JOB.to_dict())
        assert set(JOB.to_dict()) - set(PUBLIC) == {
            *("reason", "name", "workdir", "gpus", "time_limit_s", "workflow", "queued_at"),
            *("admitted_at", "cancel_requested_at", "attempt", "requeues", "node", "gpu_uuids"),
            *("workflow_name", "exit_code", "run_folder"),
        }

    def test_a_config_is_not_printed(self) -> None:
        assert "config_text" not in repr(SPEC)
