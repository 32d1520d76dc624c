"""The logging of the process: JSON objects on stderr, one a line."""

import logging
from typing import Any

import structlog


class WorkerKilled(logging.Filter):
    """Says of a serving process that was killed what is known; gunicorn guesses at the memory."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Reword that one message, and let every message pass."""
        if str(record.msg).endswith("Perhaps out of memory?"):
            record.msg = (
                "The serving process %s was ended by %s, by somebody or for want of memory; another begins."
            )
        return True


def log_configuration(level: str) -> dict[str, Any]:
    """Return the logging of the process: every line a JSON object on stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": shared,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "filters": {"killed": {"()": WorkerKilled}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            "gunicorn.error": {
                "level": "DEBUG"
                if level == "debug"
                else "WARNING",  # its coming and going is its own concern
                "handlers": [],
                "filters": ["killed"],
                "propagate": True,
            },
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
        },
    }
