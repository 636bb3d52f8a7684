"""The names of channels on the broker. No room name becomes a wildcard, a separator or another room's name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from odac.brokers.url import DEFAULT_NAMESPACE
from odac.errors import ConfigurationError

__all__ = ["Channels"]

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Channels:
    """The channel names of one application.

    A room becomes ``<namespace>.room.<name>``, where every UTF-8 byte except ASCII letters, digits, ``_``, ``-`` and
    ``~`` is written as ``%XX``. The remaining characters have no special meaning to any broker: NATS separates by ``.``
    and matches ``*`` and ``>``, Redis patterns use ``*?[]`` and cluster slots ``{}``. Different names stay different
    (the encoding is reversible, and Unicode is not normalised), and names stay readable in the broker's own tools.

    Args:
        namespace: separates applications on one broker; 1 to 32 of ``A-Za-z0-9_-``.

    Raises:
        ConfigurationError: the namespace contains anything else.
    """

    __slots__ = ("_room_prefix", "control", "everyone", "namespace")

    def __init__(self, namespace: str = DEFAULT_NAMESPACE) -> None:
        if _NAMESPACE.fullmatch(namespace) is None:
            raise ConfigurationError(
                f"namespace={namespace!r} in the broker's URL: use 1 to 32 letters, digits, '-' and '_'"
            )
        self.namespace = namespace
        self.everyone = f"{namespace}.everyone"
        self.control = f"{namespace}.control"
        self._room_prefix = f"{namespace}.room."

    def room(self, name: str) -> str:
        """The channel of a room."""
        return self._room_prefix + _encode(name)

    def room_of(self, channel: str) -> str:
        """The room of a channel name that :meth:`room` returned."""
        return unquote(channel.removeprefix(self._room_prefix), errors="surrogatepass")

    def inbox(self, origin: bytes) -> str:
        """The channel that only one process listens to, for messages to that process alone."""
        return f"{self.namespace}.inbox.{origin.hex()}"


@lru_cache(maxsize=8192)
def _encode(name: str) -> str:
    # quote() leaves "." as it is, which separates tokens in NATS.
    return quote(name, safe="", errors="surrogatepass").replace(".", "%2E")
