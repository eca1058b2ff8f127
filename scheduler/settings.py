"""The scheduler's settings, from the environment; a wrong value refuses to start."""

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
    """Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    redis_retries: Annotated[int, Field(ge=0)] = 3  #: tries until it is halted, with one alert
    redis_retry_delay_s: Seconds = 5  #: between two tries
    #: the longest pause between two cycles; submissions, cancels and ends wake it earlier
    poll_interval_s: Seconds = 10
    lease_s: Seconds = 10  #: how long a leader may be silent before a standby takes over
    resource_monitor_url: HttpUrl = (
        "http://resource-monitor:8080"  #: each address behind the name is a node
    )
    #: what runs the trainings: Argo Workflows, or processes of this machine (`gpuq up`)
    engine: Literal["argo", "local"] = "argo"
    workflow_namespace: Namespace = (
        "gpuq"  #: where the workflows are made; KUBECONFIG counts outside the cluster
    )
    #: a YAML file like `ann: {uid: 1001, gid: 1001}`: whose trainings run as whom; unset, all as the template says
    unix_ids: Annotated[UnixIds, NoDecode] = {}
    #: touched every few seconds, for `python -m scheduler.health.liveness`; unset, nobody asks
    heartbeat_file: Path | None = None
    workflow_template: Path = Path(
        "/workflows/proto-gcn-workflow.yaml"
    )  #: its folder holds the other templates too
    workflow_retention_s: Seconds = 7 * 24 * 3600  #: how long a finished workflow is kept
    history_s: Seconds = 90 * 24 * 3600  #: how long a finished job's record is kept
    history_jobs: Annotated[int, Field(ge=1)] = (
        10_000  #: how many finished jobs' records are kept at most
    )
    max_running_jobs: Annotated[int, Field(ge=1)] = 1
    max_running_per_user: Annotated[int, Field(ge=1)] = 1  #: how many jobs of one user run at once
    require_gpu: bool = True
    resume: Literal["auto", "manual"] = (
        "auto"  #: `manual`: after a halt it waits for `gpuq admin resume`
    )
    alert_urls: Annotated[tuple[str, ...], NoDecode] = ()  #: where alerts go, in apprise's notation
    start_deadline_s: Seconds = (
        600  #: an admitted job whose container takes longer fails (`start_deadline`)
    )
    data_root: Path = Path("/data")
    local_state_dir: Path = Path("/var/lib/gpuq/workflows")  #: the local engine's own
    #: how long a training may take to write its checkpoint after SIGTERM; `gpuq up` itself gives it at most 35
    local_grace_s: Seconds = 30
    #: which folder stands in for a template's image; `proto-gcn:latest` is the installed trainer
    local_images: Annotated[dict[str, Path], NoDecode] = {}
    node_name: str = socket.gethostname()  #: this machine's name in reasons and records
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
