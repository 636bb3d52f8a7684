"""The format of the server's log. Applications keep their loggers: only ``odac`` and ``uvicorn`` are configured."""

from __future__ import annotations

import logging.config
from typing import Any

from odac.serving.options import LogLevel

__all__ = ["configure_logging"]


def configure_logging(level: LogLevel, *, access_log: bool = False, name_process: bool = False) -> None:
    """Let Odac and uvicorn log to stderr.

    Args:
        level: the level of both.
        access_log: one line for each HTTP request.
        name_process: each line gets its process id, which tells workers apart.
    """
    prefix = "%(levelprefix)s [%(process)d] " if name_process else "%(levelprefix)s "
    shout = level.upper()
    config: dict[str, Any] = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "plain": {"()": "uvicorn.logging.DefaultFormatter", "fmt": prefix + "%(message)s"},
            "access": {
                "()": "uvicorn.logging.AccessFormatter",
                "fmt": prefix + '%(client_addr)s "%(request_line)s" %(status_code)s',
            },
        },
        "handlers": {
            "plain": {"class": "logging.StreamHandler", "formatter": "plain", "stream": "ext://sys.stderr"},
            "access": {"class": "logging.StreamHandler", "formatter": "access", "stream": "ext://sys.stderr"},
        },
        "loggers": {
            "odac": {"handlers": ["plain"], "level": shout, "propagate": False},
            "uvicorn": {"handlers": ["plain"], "level": shout, "propagate": False},
            # A level of its own, because uvicorn traces every connection depending on this logger's level alone.
            "uvicorn.error": {"level": shout},
            "uvicorn.access": {
                "handlers": ["access"] if access_log else [],
                "level": "INFO" if access_log else "CRITICAL",
                "propagate": False,
            },
        },
    }
    logging.config.dictConfig(config)
