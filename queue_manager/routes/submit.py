"""POST /submit: queue a job."""

import hashlib
import re
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, jsonify, request

from jobqueue.clock import id_stamp, seed_timestamp
from jobqueue.errors import JobNotFound, StoreUnavailable
from jobqueue.failpoints import failpoint
from jobqueue.job import Job, JobSpec, QueueEntry
from jobqueue.phase import Phase
from jobqueue.reason import Reason, ReasonCode
from jobqueue.service.log import get_logger
from queue_manager.files.run_folder import workdir_leads_out
from queue_manager.http.json_body import canonical, read_object
from queue_manager.http.links import links
from queue_manager.http.problems import Problem, bad_field
from queue_manager.http.query import take
from queue_manager.requests import access
from queue_manager.requests.services import Services, services
from queue_manager.submission import config_text
from queue_manager.submission.field_rules import Rules
from queue_manager.submission.parse import Submission, parse
from queue_manager.views.job_view import wait_fields
from workflows.render import TemplateError, load_template, render

blueprint = Blueprint("submit", __name__)
log = get_logger(__name__)

Answer = tuple[Response, int, dict[str, str]]

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


@blueprint.post("/submit")
def submit() -> Answer:
    """Queue a job; with `dry_run` check it and return its Workflow without queueing it."""
    take()
    app = services()
    body = read_object(request)
    key = _idempotency_key()
    submission = parse(body, _rules(app))
    access.check_may_act_as(submission.spec.user)
    spec = _with_config_text(submission, app)
    if submission.dry_run:
        return _dry_run(spec, app), HTTPStatus.OK, {}
    return _enqueue(spec, key, _digest(body) if key else "", app)


def _enqueue(spec: JobSpec, key: str, digest: str, app: Services) -> Answer:
    now = app.clock()
    failpoint("queue_manager.enqueue.before")
    enqueued = app.store.enqueue(spec, now, app.settings.caps, key, digest)
    failpoint("queue_manager.enqueue.after")
    job_id = enqueued.job_id
    log.info("Job queued.", job_id=job_id, user=spec.user, existing=enqueued.existing)
    status, position = Phase.QUEUED, enqueued.position
    if enqueued.existing:
        status, position = _present_state(job_id, app)
    paths = links(job_id)
    answer = {"status": status, "job_id": job_id, **_wait(position, now, app), "links": paths}
    return jsonify(answer), HTTPStatus.ACCEPTED, {"Location": paths["job"]}


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return ""
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        rule = "must be 1 to 255 visible ASCII characters without spaces"
        raise bad_field("Idempotency-Key", rule)
    return key


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def _rules(app: Services) -> Rules:
    settings = app.settings
    return Rules(
        workflows=app.template_names(),
        workflow=settings.default_workflow,
        require_gpu=settings.require_gpu,
        workdir_anywhere=settings.workdir_anywhere,
    )


def _with_config_text(submission: Submission, app: Services) -> JobSpec:
    """Return the spec with the config's present text; checks the text and the workdir's links."""
    spec, settings = submission.spec, app.settings
    if workdir_leads_out(spec.workdir, spec.user, settings.data_root):
        rule = "is, or is below, a symbolic link that leads out of the user's folder"
        raise bad_field("workdir", rule)
    if submission.inline is None:
        text = config_text.read_named(spec.config, settings.config_root)
    else:
        text = config_text.write_inline(submission.inline)
    config_text.check(text, spec.config, lambda: app.schema(spec.workflow))
    return JobSpec(**{**spec.__dict__, "config_text": text})


def _present_state(job_id: str, app: Services) -> tuple[Phase, int | None]:
    """Return phase and position of the job that a repeated submission refers to."""
    try:
        return app.store.job(job_id).phase, app.store.position(job_id)
    except JobNotFound:
        detail = (
            f"This Idempotency-Key was used for job {job_id}, "
            "which has finished and is no longer on record."
        )
        raise Problem(HTTPStatus.CONFLICT, detail) from None


def _wait(position: int | None, now: float, app: Services) -> dict[str, Any]:
    """Return the estimate; unknown if Redis fails now, because the job is acknowledged anyway."""
    if position is None:
        return wait_fields(None, None, now)
    try:
        wait_s = app.outlook().wait_s(position)
    except StoreUnavailable:
        wait_s = None
    return wait_fields(position, wait_s, now)


def _dry_run(spec: JobSpec, app: Services) -> Response:
    now = app.clock()
    try:
        template = load_template(app.settings.template_folder, spec.workflow)
    except TemplateError as error:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
    workflow = render(template, _would_be(spec, now), require_gpu=app.settings.require_gpu)
    position = app.store.order_length() + 1
    return jsonify({"dry_run": True, "workflow": workflow, **_wait(position, now, app)})


def _would_be(spec: JobSpec, now: float) -> Job:
    job_id = f"{spec.user}_{id_stamp(now)}"
    entry = QueueEntry(spec.user, spec.config, spec.workdir, seed_timestamp(now), job_id).encode()
    return Job(job_id, spec, entry, Phase.QUEUED, Reason(ReasonCode.SUBMITTED, ""), now, now)
