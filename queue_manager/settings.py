"""The queue manager's settings, from the environment. It does not start with an invalid value."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobqueue.service.listening import is_loopback
from jobqueue.service.settings import LogFormat, LogLevel, RedisUrl
from jobqueue.store.client import Caps
from workflows.render import SUFFIX

#: These threads answer everything else, so followers never get them.
_RESERVED_THREADS = 8


class QueueManagerSettings(BaseSettings):
    """Each field is the environment variable of the same name in capitals.

    With `AUTH=off` anyone who reaches the API can act as any user, so it is accepted only on
    loopback.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", validate_default=True)

    #: the queue's Redis, with its password if it has one
    redis_url: RedisUrl = "redis://127.0.0.1:6379/0"
    data_root: Path = Path("/data")  #: where `/data` of a workdir is on this disk
    config_root: Path = Path("/config")  #: the folder with the files that `config` may name
    #: its folder holds the other templates too
    workflow_template: Path = Path("/workflows/proto-gcn-workflow.yaml")
    #: limit of queued jobs per user; beyond it a submission gets 429
    max_queued_per_user: Annotated[int, Field(ge=1)] = 100
    #: limit of queued jobs of all users; beyond it a submission gets 429
    max_queued: Annotated[int, Field(ge=1)] = 10_000
    max_running_jobs: Annotated[int, Field(ge=1)] = 1  #: how many jobs run at once
    #: `false`: a node without a GPU offers one slot; `gpuq up` sets this if there is no GPU
    require_gpu: bool = True
    #: allow any workdir below `/data` except `/data/datasets`, not only below `/data/<user>`
    workdir_anywhere: bool = False
    # Declared before the host, because the check of the host reads it.
    #: `off`: everybody is believed, on loopback only; `gpuq up` sets it there
    auth: Literal["token", "off"] = "token"
    queue_manager_host: str = "127.0.0.1"  #: address to listen on
    queue_manager_port: Annotated[int, Field(ge=1, le=65535)] = 8081  #: port to listen on
    #: all but 8 of them may follow a log or wait for a change; the 8 answer everything else
    queue_manager_threads: Annotated[int, Field(gt=_RESERVED_THREADS, le=1000)] = 40
    #: number of proxies in front that set `X-Forwarded-For`, `-Proto` and `-Prefix`; 0: these
    #: headers are ignored
    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0
    log_level: LogLevel = "INFO"  #: minimum log level
    log_format: LogFormat = "json"  #: `console` is for people

    @property
    def caps(self) -> Caps:
        """The limits of queued jobs."""
        return Caps(self.max_queued_per_user, self.max_queued)

    @property
    def template_folder(self) -> Path:
        """The folder of all templates."""
        return self.workflow_template.parent

    @property
    def default_workflow(self) -> str:
        """The name of the template for submissions that name none."""
        return self.workflow_template.name.removesuffix(SUFFIX)

    @property
    def max_followers(self) -> int:
        """The number of requests that may follow or wait; other threads answer all else."""
        return self.queue_manager_threads - _RESERVED_THREADS

    @field_validator("workflow_template")
    @classmethod
    def _check_template(cls, path: Path) -> Path:
        if not path.name.endswith(SUFFIX) or not path.is_file():
            raise ValueError(f"it must be an existing file named <name>{SUFFIX}")
        return path

    @field_validator("queue_manager_host")
    @classmethod
    def _check_host(cls, host: str, info: ValidationInfo) -> str:
        if info.data.get("auth") == "off" and not is_loopback(host):
            raise ValueError(
                "with AUTH=off anyone who reaches it could submit as any user; use AUTH=token"
            )
        return host
