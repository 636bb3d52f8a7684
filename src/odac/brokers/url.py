"""Parses the URL of a broker, without its password in any error message."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from odac.errors import ConfigurationError

__all__ = ["DEFAULT_NAMESPACE", "DIRECTORY_VARIABLE", "NO_DIRECTORY", "BrokerURL", "parse_url"]

DEFAULT_NAMESPACE: Final = "odac"
DIRECTORY_VARIABLE: Final = "ODAC_LOCAL_DIRECTORY"
"""The environment variable by which a supervisor passes the proxy's directory to its workers (``local://`` without a
name).
"""

NO_DIRECTORY: Final = "-"
"""Its value while a command only inspects an app: ``local://`` can be parsed, and an app that names no broker gets
``memory://``, which needs no further package.
"""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]@]*)(:[0-9]*)?")


class BrokerURL(NamedTuple):
    """A broker's URL.

    Args:
        scheme: ``redis``, ``nats`` and so on.
        url: for the client library. It may contain a password, so it must not be logged.
        address: for log lines: without user, password and query.
        path: the part after the host.
        namespace: separates applications on one broker.
        history: ``durable`` if the user states that the server never loses what it has confirmed.
    """

    scheme: str
    url: str
    address: str
    path: str
    namespace: str
    history: str = ""


def parse_url(url: str) -> BrokerURL:
    """Parse a broker's URL. Error messages show only its scheme: in a malformed URL, a password may be anywhere.

    Raises:
        ConfigurationError: it has no scheme, or cannot be parsed.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or not scheme:
        raise ConfigurationError(
            'the broker\'s URL has no scheme: write it like "redis://localhost:6379" or "memory://"'
        )
    # "nats://a:4222,nats://b:4222" is a usual way to write several servers.
    rest = rest.replace(f",{scheme}://", ",")
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise ConfigurationError(
            f"the {scheme}:// URL of the broker cannot be parsed: look for stray brackets in it"
        ) from None
    hosts = parts.netloc.rpartition("@")[2]
    if "@" in parts.query + parts.fragment or (scheme != "local" and "@" in parts.path):
        raise ConfigurationError(
            f"the {scheme}:// URL of the broker has '/', '?' or '#' before '@': write %2F, %3F or %23 in a password"
        )
    if any(_HOST.fullmatch(host) is None for host in hosts.split(",")):
        raise ConfigurationError(
            f"the {scheme}:// URL of the broker has a malformed host or port: write host:port, and user:password@"
            " before it"
        )
    kept = urlencode([pair for pair in query if pair[0] not in ("namespace", "history")])
    history = next((value for name, value in query if name == "history"), "")
    if history and (history != "durable" or "redis" not in scheme):
        raise ConfigurationError(
            f"history= of the {scheme}:// URL: the only value is durable, for Redis, if the server never loses"
            " what it confirmed"
        )
    return BrokerURL(
        scheme,
        f"{scheme}://{parts.netloc}{parts.path}" + (f"?{kept}" if kept else ""),
        f"{scheme}://{hosts}{parts.path}",
        parts.path,
        next((value for name, value in query if name == "namespace"), DEFAULT_NAMESPACE),
        history,
    )
