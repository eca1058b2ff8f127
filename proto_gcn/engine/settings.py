"""The settings that a training reads from its environment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proto_gcn.config.file import load_config
from proto_gcn.config.train import TrainConfig
from proto_gcn.errors import ConfigError


@dataclass(frozen=True)
class RunSettings:
    """The settings of one run; gpu_utilization_percent None: no check for a busy GPU."""

    config_file: Path
    job_id: str
    work_dir: str | None
    data_root: Path
    lock_wait_s: float
    gpu_utilization_percent: float | None
    require_gpu: bool
    progress_file: Path | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "RunSettings":
        """Read the settings; raises a ConfigError that names the variable."""
        progress = environment.get("ARGO_PROGRESS_FILE")
        return cls(
            config_file=_config_file(environment),
            job_id=_job_id(environment),
            work_dir=environment.get("WORK_DIR") or None,
            data_root=Path(environment.get("DATA_ROOT") or "/data"),
            lock_wait_s=_number(environment, "RUN_LOCK_WAIT_S", "60"),
            gpu_utilization_percent=_busy_percent(environment),
            require_gpu=_flag(environment, "REQUIRE_GPU"),
            progress_file=Path(progress) if progress else None,
        )

    def load_config(self) -> TrainConfig:
        """Read the config file; raises ConfigError."""
        return load_config(self.config_file)

    def path(self, written: str) -> Path:
        """Return the path that `written` means: a path below /data is below DATA_ROOT."""
        path = Path(written)
        return self.data_root / path.relative_to("/data") if path.is_relative_to("/data") else path

    def run_folder(self) -> Path:
        """Return WORK_DIR/runs/JOB_ID; without WORK_DIR the config's work_dir counts.

        Raises ConfigError if neither is set.
        """
        work_dir = self.work_dir or self.load_config().work_dir
        if not work_dir:
            raise ConfigError(
                "WORK_DIR is not set; set it to the folder in which runs/<JOB_ID> is to be written"
            )
        return self.path(work_dir).absolute() / "runs" / self.job_id


def _config_file(environment: Mapping[str, str]) -> Path:
    config_file = environment.get("CONFIG_FILE")
    if not config_file:
        raise ConfigError("CONFIG_FILE is not set; set it to the path of a training config")
    return Path(config_file)


def _job_id(environment: Mapping[str, str]) -> str:
    job_id = environment.get("JOB_ID", "")
    if not job_id or job_id in (".", "..") or "/" in job_id:
        raise ConfigError(
            f"JOB_ID must name one folder and is {job_id!r}; set it to a name such as my-run"
        )
    return job_id


def _busy_percent(environment: Mapping[str, str]) -> float | None:
    if environment.get("GPU_UTILIZATION_PERCENT") == "off":
        return None
    return _number(environment, "GPU_UTILIZATION_PERCENT", "80")


def _flag(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name) or "false"
    if text not in ("true", "false"):
        raise ConfigError(f"{name} must be true or false, not {text!r}")
    return text == "true"


def _number(environment: Mapping[str, str], name: str, default: str) -> float:
    text = environment.get(name) or default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError(f"{name} must be a number from 0 up, not {text!r}")
    return value
