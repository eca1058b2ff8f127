"""One log format for all services: JSON lines in pods, coloured lines on a terminal."""

import logging
import sys
from typing import Any

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
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
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


def get_logger(name: str = "") -> Any:
    """A structlog logger: `log.info("one sentence", job_id=…)`."""
    return structlog.stdlib.get_logger(name)


def bind_log(**values: str) -> None:
    """From now on every line of this thread carries these values, and no others bound before."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**values)
