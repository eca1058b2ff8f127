"""The queue manager's settings, from the environment; a wrong value refuses to start."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobqueue.service.listening import is_loopback
from jobqueue.service.settings import LogFormat, LogLevel, RedisUrl
from jobqueue.store.client import Caps
from workflows.render import SUFFIX

#: Threads that followers may never have: they answer everything else.
_RESERVED_THREADS = 8


class QueueManagerSettings(BaseSettings):
    """Each field is the environment variable of the same name in capitals.

    With `AUTH=off` everybody who reaches the API is believed to be whoever she says she is, so it is taken on loopback
    only.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", validate_default=True)

    redis_url: RedisUrl = (
        "redis://127.0.0.1:6379/0"  #: the queue's Redis, with its password where it has one
    )
    data_root: Path = Path("/data")  #: where `/data` of a workdir is on this disk
    config_root: Path = Path("/config")  #: the folder that a submission's `config` names a file of
    workflow_template: Path = Path(
        "/workflows/proto-gcn-workflow.yaml"
    )  #: its folder holds the other templates too
    max_queued_per_user: Annotated[int, Field(ge=1)] = 100  #: beyond it a submission gets 429
    max_queued: Annotated[int, Field(ge=1)] = (
        10_000  #: of all users; beyond it a submission gets 429
    )
    max_running_jobs: Annotated[int, Field(ge=1)] = 1  #: how many jobs run at once
    require_gpu: bool = (
        True  #: `false`: a node without a GPU is one slot; `gpuq up` sets it so where there is none
    )
    workdir_anywhere: bool = (
        False  #: any workdir below `/data` but `/data/datasets`, not only below `/data/<user>`
    )
    # Stands before the host, whose check looks at it.
    auth: Literal["token", "off"] = (
        "token"  #: `off`: everybody is believed, on loopback only; `gpuq up` sets it there
    )
    queue_manager_host: str = "127.0.0.1"  #: where it listens
    queue_manager_port: Annotated[int, Field(ge=1, le=65535)] = 8081  #: where it listens
    #: 8 of them answer everything else, the others are places for those who follow a log or wait
    queue_manager_threads: Annotated[int, Field(gt=_RESERVED_THREADS, le=1000)] = 40
    #: how many proxies stand in front that set `X-Forwarded-For`, `-Proto` and `-Prefix`; 0: no such header is believed
    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0
    log_level: LogLevel = "INFO"  #: the least grave of what is logged
    log_format: LogFormat = "json"  #: `console` is for people

    @property
    def caps(self) -> Caps:
        return Caps(self.max_queued_per_user, self.max_queued)

    @property
    def template_folder(self) -> Path:
        return self.workflow_template.parent

    @property
    def default_workflow(self) -> str:
        """The name of the template that a submission gets when it names none."""
        return self.workflow_template.name.removesuffix(SUFFIX)

    @property
    def max_followers(self) -> int:
        """How many requests may follow a log at once, so that threads are left for all others."""
        return self.queue_manager_threads - _RESERVED_THREADS

    @field_validator("workflow_template")
    @classmethod
    def _check_template(cls, path: Path) -> Path:
        if not path.name.endswith(SUFFIX) or not path.is_file():
            raise ValueError(f"it must be an existing file <name>{SUFFIX}")
        return path

    @field_validator("queue_manager_host")
    @classmethod
    def _check_host(cls, host: str, info: ValidationInfo) -> str:
        if info.data.get("auth") == "off" and not is_loopback(host):
            raise ValueError(
                "with AUTH=off everybody who reaches it could submit as anybody; use AUTH=token"
            )
        return host
