"""This module declares the scheduler's settings; it refuses to start with a wrong value."""

import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobqueue.service.settings import HttpUrl, LogFormat, LogLevel, RedisUrl
from workflows.unix_ids import UnixIds, load_unix_ids

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _check_namespace(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise ValueError("a namespace is 1 to 63 of a-z, 0-9 and -")
    return name


Namespace = Annotated[str, AfterValidator(_check_namespace)]


class SchedulerSettings(BaseSettings):
    """Each field is read from the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    #: number of tries before the scheduler is halted and one alert is sent
    redis_retries: Annotated[int, Field(ge=0)] = 3
    #: pause between two tries
    redis_retry_delay_s: Seconds = 5
    #: the longest pause between two cycles; submissions, cancels and ends wake it earlier
    poll_interval_s: Seconds = 10
    #: a standby takes over if the leader does not renew its lease for this long
    lease_s: Seconds = 10
    #: each address of the host name is asked as one node
    resource_monitor_url: HttpUrl = "http://resource-monitor:8080"
    #: the engine that runs the trainings: Argo Workflows, or processes of this machine (`gpuq up`)
    engine: Literal["argo", "local"] = "argo"
    #: the namespace of the workflows; outside the cluster KUBECONFIG names the cluster
    workflow_namespace: Namespace = "gpuq"
    #: a YAML file with the Unix ids of users, like `ann: {uid: 1001, gid: 1001}`, for their
    #: trainings; if unset, all trainings run with the ids of the template
    unix_ids: Annotated[UnixIds, NoDecode] = {}
    #: a file that is touched every few seconds, for `python -m scheduler.health.liveness`
    heartbeat_file: Path | None = None
    #: its folder holds the other templates too
    workflow_template: Path = Path("/workflows/proto-gcn-workflow.yaml")
    #: how long a finished workflow is kept
    workflow_retention_s: Seconds = 7 * 24 * 3600
    #: how long a finished job's record is kept
    history_s: Seconds = 90 * 24 * 3600
    #: the largest number of finished jobs whose records are kept
    history_jobs: Annotated[int, Field(ge=1)] = 10_000
    max_running_jobs: Annotated[int, Field(ge=1)] = 1
    #: the number of slots that the jobs of one user may hold
    max_running_per_user: Annotated[int, Field(ge=1)] = 1
    require_gpu: bool = True
    #: with `manual`, a halted scheduler waits for `gpuq admin resume`
    resume: Literal["auto", "manual"] = "auto"
    #: the addresses that alerts are sent to, in apprise's notation
    alert_urls: Annotated[tuple[str, ...], NoDecode] = ()
    #: an admitted job whose container takes longer to start fails (`start_deadline`)
    start_deadline_s: Seconds = 600
    data_root: Path = Path("/data")
    #: the folder for the local engine's own files
    local_state_dir: Path = Path("/var/lib/gpuq/workflows")
    #: time that a training has to write its checkpoint after SIGTERM; `gpuq up` itself gives at
    #: most 35 seconds
    local_grace_s: Seconds = 30
    #: image=folder pairs: the folder that the local engine uses for a template's image;
    #: `proto-gcn:latest` is the installed trainer
    local_images: Annotated[dict[str, Path], NoDecode] = {}
    #: this machine's name in reasons and records
    node_name: str = socket.gethostname()
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "json"

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _split_urls(cls, value: Any) -> Any:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("heartbeat_file", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return value or None

    @field_validator("unix_ids", mode="before")
    @classmethod
    def _read_unix_ids(cls, value: Any) -> Any:
        return (load_unix_ids(Path(value)) if value else {}) if isinstance(value, str) else value

    @field_validator("local_images", mode="before")
    @classmethod
    def _split_images(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair]
        if not all(image and folder for image, _, folder in pairs):
            raise ValueError("write it like proto-gcn:latest=/opt/proto_gcn,other:1=/opt/other")
        return {image.strip(): Path(folder.strip()) for image, _, folder in pairs}
