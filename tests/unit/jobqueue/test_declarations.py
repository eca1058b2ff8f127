"""Each field is declared once: its forms follow, and these tests name no field of a submission."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from devtools.testbed.fakes import NOW, make_job
from jobqueue import backup
from jobqueue.codec.fields import Fields
from jobqueue.job import Job, JobSpec, QueueEntry, Result
from jobqueue.store.client import Caps, Store
from queue_manager.openapi.schemas import COMPONENTS
from queue_manager.submission.field_rules import RULES
from queue_manager.submission.parse import REQUIRED, Rules, parse

#: A value that differs from the default, by the JSON Schema type of a field.
_EXAMPLES: dict[str, Any] = {"integer": 7, "string": "a text"}


def example(name: str, schema: dict[str, Any]) -> Any:
    """Return a value for a field that no default equals; the fixed forms are those of a path."""
    fixed = {"user": "ann", "config": "other.yaml", "workdir": "/data/ann"}
    kind = schema["type"]
    return fixed.get(name) or _EXAMPLES[kind if isinstance(kind, str) else kind[0]]


SPEC = JobSpec(**{each.name: example(each.name, each.codec.schema) for each in JobSpec.FIELDS.all})


def queued() -> Job:
    job_id = "ann_20261124120001"
    entry = QueueEntry("ann", SPEC.config, SPEC.workdir, "2026-11-24T12:00:01", job_id)
    return replace(make_job("ann", 1), job_id=job_id, spec=SPEC, entry=entry.encode())


def test_every_example_differs_from_the_default() -> None:
    least = JobSpec("zoe", "config.yaml", "/data/zoe")
    assert all(getattr(SPEC, each.name) != getattr(least, each.name) for each in fields(JobSpec))


def test_a_hash_keeps_every_field() -> None:
    assert JobSpec.from_hash(SPEC.to_hash()) == SPEC
    assert set(SPEC.to_hash()) == {each.name for each in fields(JobSpec)}


def test_redis_keeps_every_field(store: Store) -> None:
    job_id = store.enqueue(SPEC, NOW, Caps()).job_id
    assert store.job(job_id).spec == SPEC
    [listed] = store.jobs([job_id])
    large = {name: getattr(SPEC, name) for name in JobSpec.FIELDS.large}
    assert replace(listed.spec, **large) == SPEC


def test_a_backup_keeps_every_field() -> None:
    job = queued()
    [found] = backup.decode(backup.encode([job], [], NOW)).jobs
    assert replace(found, reason=job.reason) == job


def test_a_backup_of_a_version_that_lacks_a_field_is_read_with_the_default() -> None:
    document = json.loads(backup.encode([queued()], [], NOW))
    optional = [each.name for each in JobSpec.FIELDS.all if not each.required]
    for name in optional:
        del document["queue"][0][name]
    [found] = backup.decode(json.dumps(document)).jobs
    assert found.spec == JobSpec(SPEC.user, SPEC.config, SPEC.workdir)


def test_the_answer_shows_every_field_but_the_large_ones() -> None:
    shown = queued().to_dict()
    for each in JobSpec.FIELDS.all:
        assert (each.name in shown) is (each.name not in JobSpec.FIELDS.large)


def test_the_schema_of_a_record_names_what_the_answer_has() -> None:
    described = set(COMPONENTS["Record"]["properties"])
    assert set(queued().to_dict()) <= described


def test_every_field_of_a_submission_has_a_rule_and_a_schema() -> None:
    submitted = {each.name for each in JobSpec.FIELDS.all} - set(JobSpec.FIELDS.large)
    assert set(RULES) == submitted | {"dry_run"}
    assert set(COMPONENTS["Submission"]["properties"]) == set(RULES)
    assert COMPONENTS["Submission"]["required"] == list(REQUIRED)


def test_a_submission_sets_every_field() -> None:
    body = {name: getattr(SPEC, name) for name in RULES if name != "dry_run"}
    parsed = parse(body, Rules((SPEC.workflow,))).spec
    assert replace(parsed, config_text=SPEC.config_text) == SPEC


@pytest.mark.parametrize("kind", [JobSpec, Job, Result])
def test_every_field_has_a_codec_or_is_a_record_itself(kind: type) -> None:
    nested = {"spec", "reason", "result"} if kind is Job else set()
    declared: Fields = vars(kind)["FIELDS"]
    assert {each.name for each in declared.all} | nested == {each.name for each in fields(kind)}
