"""One log format for all services: JSON lines in pods, coloured lines on a terminal."""

import logging
import sys
from typing import Any, TextIO

import structlog


def configure_logging(service: str, level: str = "INFO", fmt: str = "json") -> None:
    """Set up structlog for this process; `fmt` is `json` or `console`. Every line carries the service's name.

    Lines go to stdout of the process; records of other libraries (gunicorn, werkzeug) take the same way.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    # Our own lines do not go through `logging`: it would cost every one of them as much again.
    structlog.configure(
        processors=[*shared, renderer],
        logger_factory=structlog.WriteLoggerFactory(_Lines(sys.stdout)),  # type: ignore[arg-type]
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.contextvars.bind_contextvars(service=service)


class _Lines:
    """A stream on which a full disk or a closed pipe costs log lines, and never what a service is doing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            pass  # where else should it be told?

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            pass


def get_logger(name: str = "") -> Any:
    """A structlog logger: `log.info("one sentence", job_id=…)`."""
    return structlog.get_logger(name)


def bind_log(**values: str) -> None:
    """From now on every line of this thread carries these values, and no others bound before."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**values)
