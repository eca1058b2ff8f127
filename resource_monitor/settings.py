"""The monitor's settings, read from the environment; a wrong value keeps it from starting."""

import math
import socket
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobqueue.resources import NODE_NAME, OFF, PERCENT, Thresholds
from jobqueue.service.settings import LogFormat, LogLevel
from resource_monitor.gate import Gate

MOST_MB = 10**9


def _limit_up_to(high: float) -> Callable[[Any], float | None]:
    """Return a function that reads `off` as None, else a number from 0 to `high`.

    A whole number becomes an int, so that it is shown as it was set.
    """

    def read(value: Any) -> float | None:
        text = str(value).strip().lower()
        if text == OFF:
            return None
        number = _number(text)
        if not 0 <= number <= high:
            raise ValueError(f"must be a number from 0 to {high}, or {OFF}")
        return int(number) if number.is_integer() else number

    return read


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_node_name(name: str) -> str:
    if not NODE_NAME.fullmatch(name):
        raise ValueError("must be a host name: letters, digits, dots and dashes")
    return name


Percent = Annotated[float | None, PlainValidator(_limit_up_to(PERCENT))]
Megabytes = Annotated[float | None, PlainValidator(_limit_up_to(MOST_MB))]


class Settings(BaseSettings):
    """All settings; a field's environment variable is its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, validate_default=True)

    node_name: Annotated[str, AfterValidator(_check_node_name)] = Field(
        default_factory=socket.gethostname
    )
    # A DaemonSet sets 0.0.0.0; by default only this machine can ask what it has free.
    monitor_host: str = "127.0.0.1"  #: where it listens
    monitor_port: int = Field(default=8080, ge=1, le=65535)  #: where it listens
    sample_period_s: float = Field(default=0.5, ge=0.1, le=2)  #: between two readings
    require_gpu: bool = True
    gpu_memory_free_mb: Megabytes = 200  #: the gate: a GPU has more free memory than this
    #: the gate: a GPU's utilisation is below this; a training checks once more before it starts
    gpu_utilization_percent: Percent = 80
    #: the gate: the CPU's usage is below this; `gpuq up --demo` sets `off` if it trains on the CPU
    cpu_percent: Percent = 90
    memory_percent: Percent = 85  #: the gate: main memory's usage is below this
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "json"

    @property
    def gate(self) -> Gate:
        limits = Thresholds(
            gpu_memory_free_mb=self.gpu_memory_free_mb,
            gpu_utilization_percent=self.gpu_utilization_percent,
            cpu_percent=self.cpu_percent,
            memory_percent=self.memory_percent,
        )
        return Gate(limits, self.require_gpu)
