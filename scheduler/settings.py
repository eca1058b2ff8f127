"""The scheduler's settings, from the environment; a wrong value refuses to start."""

import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from jobqueue.settings import HttpUrl, LogFormat, LogLevel, RedisUrl

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SchedulerSettings(BaseSettings):
    """Each field is the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    redis_retries: Annotated[int, Field(ge=0)] = 3
    redis_retry_delay_s: Seconds = 5
    poll_interval_s: Seconds = 10
    lease_s: Seconds = 10  #: how long a leader may be silent before a standby takes over
    resource_monitor_url: HttpUrl = "http://resource-monitor:8080"
    engine: Literal["local"] = "local"
    workflow_template: Path = Path("/workflows/proto-gcn-workflow.yaml")  #: its folder holds the other templates too
    workflow_retention_s: Seconds = 7 * 24 * 3600
    history_s: Seconds = 90 * 24 * 3600  #: how long a finished job's record is kept
    history_jobs: Annotated[int, Field(ge=1)] = 10_000  #: and how many of them at most
    max_running_jobs: Annotated[int, Field(ge=1)] = 1
    max_running_per_user: Annotated[int, Field(ge=1)] = 1
    require_gpu: bool = True
    resume: Literal["auto", "manual"] = "auto"
    alert_urls: Annotated[tuple[str, ...], NoDecode] = ()  #: apprise URLs, separated by spaces or commas
    start_deadline_s: Seconds = 600  #: how long an admitted job's container may take to start
    data_root: Path = Path("/data")
    local_state_dir: Path = Path("/var/lib/gpuq/workflows")
    local_grace_s: Seconds = 30  #: how long a training may take to write its checkpoint after SIGTERM
    local_images: Annotated[dict[str, Path], NoDecode] = {}  #: image=folder, separated by commas
    node_name: str = socket.gethostname()
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "json"

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _split_urls(cls, value: Any) -> Any:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("local_images", mode="before")
    @classmethod
    def _split_images(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair]
        if not all(image and folder for image, _, folder in pairs):
            raise ValueError("write it like proto-gcn:latest=/opt/proto_gcn,other:1=/opt/other")
        return {image.strip(): Path(folder.strip()) for image, _, folder in pairs}
