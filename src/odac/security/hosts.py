"""The host names for which Odac answers handshakes and its own paths: ``Odac(hosts=[…])``.

If an attacker's host name points to this server (DNS rebinding), the browser treats the server as same-origin with the
attacker's page, so the Origin check passes: only the name in the Host header reveals it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Final

from odac.errors import ConfigurationError

__all__ = ["HostPolicy"]

_NAME: Final = re.compile(r"\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
_HOST: Final = re.compile(rb"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?")


class HostPolicy:
    """Decides from the Host header whether a request is answered.

    Args:
        hosts: names without a port, such as ``"example.com"``; with a leading dot, such as ``".example.com"``, a name
            and all its subdomains. ``"*"`` and None allow every name.

    Raises:
        ConfigurationError: an entry is not a host name; the message names the fix.
    """

    __slots__ = ("_domains", "_names", "any")

    def __init__(self, hosts: Sequence[str] | None = None) -> None:
        if hosts is not None and (isinstance(hosts, str) or not isinstance(hosts, Iterable)):
            raise ConfigurationError(f"hosts={hosts!r}: must be a list such as ['example.com']")
        entries = ["*"] if hosts is None else [_configured(entry) for entry in hosts]
        if not entries:
            raise ConfigurationError("hosts=[]: would refuse everybody; leave it out, or list the names of this site")
        self.any = "*" in entries
        self._names = frozenset(entry.lstrip(".") for entry in entries)
        self._domains = tuple(entry for entry in entries if entry.startswith("."))

    def refusal(self, scope: Mapping[str, Any]) -> str | None:
        """None if a request with this ASGI scope may be answered, else the reason, for the log only."""
        if self.any:
            return None
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1:
            return f"{len(hosts)} Host headers: there must be one to compare with hosts="
        found = _HOST.fullmatch(hosts[0])
        if found is None:
            return "its Host header is not a host name with an optional port"
        name = _canonical(found[1].decode("ascii").lower()).rstrip(".")
        if name in self._names or name.endswith(self._domains):
            return None
        return f"its Host header names {name!r}; if that is this site, add it: hosts=[{name!r}]"

    def __repr__(self) -> str:
        return f"HostPolicy({'*' if self.any else sorted({*self._names, *self._domains})!r})"


def _configured(entry: object) -> str:
    if not isinstance(entry, str):
        raise ConfigurationError(f"hosts={entry!r}: a host is a str such as 'example.com'")
    if entry == "*":
        return entry
    name = entry.lower().rstrip(".")
    if "://" in name:
        raise ConfigurationError(
            f"hosts={entry!r}: has a scheme; write {re.split(r'[/:]', name.partition('://')[2])[0]!r}"
        )
    if name.startswith("*."):
        raise ConfigurationError(f"hosts={entry!r}: write {name[1:]!r} for a name and all below it")
    if not name.isascii():
        raise ConfigurationError(f"hosts={entry!r}: write the name as browsers send it, in its xn-- form")
    if re.fullmatch(r".*[^:]:[0-9]+", name) and not name.endswith("]"):
        raise ConfigurationError(
            f"hosts={entry!r}: has a port, and every port is let in; write {name.rpartition(':')[0]!r}"
        )
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"hosts={entry!r}: is not a host name such as 'example.com'")
    return _canonical(name)


def _canonical(name: str) -> str:
    if name.startswith("["):
        try:
            return f"[{IPv6Address(name[1:-1]).compressed}]"
        except AddressValueError:
            return name
    return name
