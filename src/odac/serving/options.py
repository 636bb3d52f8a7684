"""How an app is served: all options of ``odac run``, with their help texts."""

# ruff: noqa: RUF009 - _option is field() with a text for the command line

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypedDict, get_args

from odac.errors import ConfigurationError

__all__ = ["LOG_LEVELS", "CannotStart", "CommandLine", "LogLevel", "RunOptions", "ServeOptions"]

LogLevel = Literal["critical", "error", "warning", "info", "debug"]
LOG_LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)


class CannotStart(ConfigurationError):
    """The server cannot start. The message tells the user how to fix it."""


class CommandLine(NamedTuple):
    """How the command line shows an option; its type and its default are the field's own.

    Args:
        help: one sentence.
        metavar: the placeholder for the value.
        flag: the option's name, if it differs from the field's.
        negatable: whether a switch has a ``--no-`` form as well.
        envvar: an environment variable that gives the value.
    """

    help: str
    metavar: str | None = None
    flag: str | None = None
    negatable: bool = False
    envvar: str | None = None


def _option(default: Any, text: str, *, secret: bool = False, **shown: Any) -> Any:
    return field(default=default, repr=not secret, metadata={"command_line": CommandLine(text, **shown)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How an app is served. The names are those of :func:`odac.server.run`, where they are explained.

    Raises:
        ConfigurationError: two of them contradict each other, or one is out of its range.
    """

    host: str = _option("127.0.0.1", "Address or name to listen on; 0.0.0.0 for all.")
    port: int = _option(8000, "Port to listen on; 0 for any free one.")
    uds: str | None = _option(None, "Listen on a Unix socket instead.", metavar="PATH")
    workers: int = _option(1, "Processes that share the port.")
    reload: bool = _option(False, "Restart when a source file changes (for development).")
    reload_dirs: Sequence[str] = _option(
        (), "Directory that --reload watches; default: the current one.", metavar="PATH", flag="--reload-dir"
    )
    preload: bool = _option(
        False, "Import the app once, in a process that workers are forked from: a worker is replaced at once."
    )
    broker: str | None = _option(
        None,
        "URL of the broker, such as redis://localhost or local://name; default: $ODAC_BROKER, or what the app names.",
        metavar="URL",
    )
    log_level: LogLevel = _option("info", "The lowest level of messages that are logged.")
    access_log: bool = _option(False, "One line for each HTTP request.", negatable=True)
    ssl_certfile: str | None = _option(None, "Certificate chain in PEM form, for HTTPS and wss://.", metavar="PATH")
    ssl_keyfile: str | None = _option(
        None, "Its private key, if the certificate's file does not contain it.", metavar="PATH"
    )
    ssl_keyfile_password: str | None = _option(
        None,
        "The key's password; better in $ODAC_SSL_KEYFILE_PASSWORD.",
        secret=True,
        envvar="ODAC_SSL_KEYFILE_PASSWORD",
    )
    proxy_headers: bool = _option(
        False, "Trust X-Forwarded-For and X-Forwarded-Proto from trusted proxies.", negatable=True
    )
    forwarded: bool = _option(False, "Trust the Forwarded header (RFC 7239) from trusted proxies instead.")
    proxy_protocol: bool = _option(
        False, "Connections of trusted proxies begin with the PROXY protocol, version 1 or 2."
    )
    behind_tls: bool = _option(
        False, "TLS ends in a program in front that adds no headers (stunnel, HAProxy in tcp mode)."
    )
    forwarded_allow_ips: str | None = _option(
        None,
        "Trusted proxies: addresses and networks, with commas; default: $FORWARDED_ALLOW_IPS, or 127.0.0.1,::1.",
        metavar="LIST",
    )
    root_path: str = _option("", "Path at which a proxy has mounted the app.", metavar="PATH")
    factory: bool = _option(False, "APP is a function that returns the app.")
    app_dir: str = _option("", "Directory searched first for MODULE; default: the current one.", metavar="PATH")

    def __post_init__(self) -> None:
        object.__setattr__(self, "reload_dirs", tuple(self.reload_dirs))
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"port={self.port}: a port is a number from 1 to 65535, or 0 for any that is free")
        if self.workers < 1:
            raise ConfigurationError(
                f"workers={self.workers}: must be at least 1; each is a process that serves the app"
            )
        if self.log_level not in LOG_LEVELS:
            raise ConfigurationError(f"log_level={self.log_level!r}: one of {', '.join(LOG_LEVELS)}")
        self._check_tls()
        self._check_proxies()
        if self.reload_dirs and not self.reload:
            raise ConfigurationError("reload_dirs has no effect without reload: turn reload on, or leave it out")
        if self.preload and self.reload:
            raise ConfigurationError("reload imports the app after each change, and preload only once: choose one")
        if self.preload and not hasattr(os, "fork"):
            raise ConfigurationError("preload forks processes, which this system does not have: leave it out")
        for folder in self.reload_dirs:
            if not Path(folder).is_dir():
                raise ConfigurationError(f"reload_dirs: there is no folder {folder!r}")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ConfigurationError(
                f"root_path={self.root_path!r}: a path such as '/app', beginning with a slash and not ending with one"
            )

    def _check_tls(self) -> None:
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ConfigurationError("ssl_keyfile needs ssl_certfile as well (one file may contain both)")
        if self.ssl_certfile and self.behind_tls:
            raise ConfigurationError("behind_tls means that TLS ends in front of this server: leave ssl_certfile out")
        if self.ssl_certfile and self.proxy_protocol:
            raise ConfigurationError(
                "proxy_protocol comes in front of TLS, so it cannot be read here: let the proxy end TLS, and leave"
                " ssl_certfile out"
            )

    def _check_proxies(self) -> None:
        ways = [name for name in ("proxy_headers", "forwarded", "proxy_protocol") if getattr(self, name)]
        if len(ways) > 1:
            raise ConfigurationError(
                f"{' and '.join(ways)}: choose the one way in which the proxy names the client; it passes on headers"
                " that it does not set itself as the client sent them"
            )
        if self.behind_tls and (self.proxy_headers or self.forwarded):
            raise ConfigurationError(
                f"behind_tls is for a program that adds no headers: those that {ways[0]} trusts would be the client's"
                " own. Leave one of them out"
            )
        if self.forwarded_allow_ips is not None and not ways:
            raise ConfigurationError(
                "forwarded_allow_ips lists trusted proxies, and has no effect without proxy_headers, forwarded or"
                " proxy_protocol"
            )
        if ways:
            _check_addresses(self.forwarded_allow_ips)

    @property
    def trusted_proxies(self) -> str:
        """Addresses and networks with commas, or ``*``."""
        if self.forwarded_allow_ips is not None:
            return self.forwarded_allow_ips
        return os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

    @property
    def supervised(self) -> bool:
        """Whether a supervisor runs the app in processes of its own."""
        return self.workers > 1 or self.reload or self.preload


class RunOptions(TypedDict, total=False):
    """The arguments of :func:`odac.server.run` for type checkers: the fields of :class:`ServeOptions`."""

    host: str
    port: int
    uds: str | None
    workers: int
    reload: bool
    reload_dirs: Sequence[str]
    preload: bool
    broker: str | None
    log_level: LogLevel
    access_log: bool
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_keyfile_password: str | None
    proxy_headers: bool
    forwarded: bool
    proxy_protocol: bool
    behind_tls: bool
    forwarded_allow_ips: str | None
    root_path: str
    factory: bool
    app_dir: str


def _check_addresses(given: str | None) -> None:
    """Refuse host names: they would be compared with addresses and never match."""
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
