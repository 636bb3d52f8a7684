"""How an app is served: everything that ``odac run`` can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from odac.errors import ConfigurationError

__all__ = ["LOG_LEVELS", "CannotStart", "LogLevel", "ServeOptions"]

LogLevel = Literal["critical", "error", "warning", "info", "debug"]
LOG_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)


class CannotStart(ConfigurationError):
    """The server cannot start. The message is what a person needs to mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How an app is served. The names are those of :func:`odac.server.run`, where they are explained.

    Raises:
        ConfigurationError: two of them contradict each other, or one is out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    uds: str | None = None
    workers: int = 1
    reload: bool = False
    reload_dirs: tuple[str, ...] = ()
    broker: str | None = None
    log_level: LogLevel = "info"
    access_log: bool = False
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_keyfile_password: str | None = field(default=None, repr=False)
    proxy_headers: bool = False
    forwarded_allow_ips: str | None = None
    root_path: str = ""
    factory: bool = False
    app_dir: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"port={self.port}: a port is a number from 1 to 65535, or 0 for any that is free")
        if self.workers < 1:
            raise ConfigurationError(f"workers={self.workers}: at least 1")
        if self.log_level not in LOG_LEVELS:
            raise ConfigurationError(f"log_level={self.log_level!r}: one of {', '.join(LOG_LEVELS)}")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ConfigurationError("ssl_keyfile needs ssl_certfile as well: TLS takes both (one file may hold both)")
        if self.forwarded_allow_ips is not None and not self.proxy_headers:
            raise ConfigurationError(
                "forwarded_allow_ips says which proxies to trust, and has no effect without proxy_headers"
            )

    @property
    def supervised(self) -> bool:
        """Whether a supervisor runs the app in processes of its own."""
        return self.workers > 1 or self.reload
