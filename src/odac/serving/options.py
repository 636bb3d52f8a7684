"""How an app is served: everything that ``odac run`` can be told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
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
        if self.proxy_headers:
            _check_proxies(self.forwarded_allow_ips)
        if self.reload_dirs and not self.reload:
            raise ConfigurationError("reload_dirs says what to watch, and has no effect without reload")
        for folder in self.reload_dirs:
            if not Path(folder).is_dir():
                raise ConfigurationError(f"reload_dirs: there is no folder {folder!r}")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ConfigurationError(
                f"root_path={self.root_path!r}: a path such as '/app', beginning with a slash and not ending with one"
            )

    @property
    def supervised(self) -> bool:
        """Whether a supervisor runs the app in processes of its own."""
        return self.workers > 1 or self.reload


def _check_proxies(given: str | None) -> None:
    """A host's name, say, would be compared with addresses and match none, without a word."""
    where = "forwarded_allow_ips" if given is not None else "$FORWARDED_ALLOW_IPS"
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "") if given is None else given
    for each in filter(None, (part.strip() for part in trusted.split(","))):
        try:
            if each != "*":
                ip_network(each)
        except ValueError:
            raise ConfigurationError(
                f"{where}: {each!r} is neither an address nor a network, such as 10.0.0.2 or 10.0.0.0/8"
            ) from None
