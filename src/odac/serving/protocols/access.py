"""Lines of the access log about WebSockets: the answer to each handshake, and the end of each connection.

The path is written without its query, and headers are not written, because both may contain a token.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["AccessLog"]

_logger: Final = logging.getLogger("uvicorn.access")


class AccessLog:
    """One handshake's lines, in the form of those for HTTP requests.

    Args:
        scope: the handshake's. The client in it is the one that the middleware around the app has set before the first
            line is written.
    """

    __slots__ = ("_client", "_is_open", "_scope")

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope: Mapping[str, Any] | None = scope
        self._client = ""
        self._is_open = False

    @staticmethod
    def is_on(configured: bool) -> bool:
        """Whether these lines are written anywhere."""
        return configured and _logger.isEnabledFor(logging.INFO) and _logger.hasHandlers()

    def answered(self, status: int) -> None:
        """The handshake has been answered."""
        if self._scope is not None:
            client = self._scope.get("client")
            self._client = f"{client[0]}:{client[1]}" if client else ""
            self._write("WebSocket", self._scope["path"], status)
            # The line for the end of a connection needs only the scope's path.
            self._scope = {"path": self._scope["path"]} if status == 101 else None
            self._is_open = status == 101

    def ended(self, code: int) -> None:
        """The connection has ended, with this close code (RFC 6455 section 7.1.5)."""
        if self._is_open and self._scope is not None:
            self._is_open = False
            self._write("WebSocket closed", self._scope["path"], code)

    def _write(self, what: str, path: str, status: int) -> None:
        _logger.info('%s - "%s %s HTTP/%s" %d', self._client, what, _escaped(path), "1.1", status)


def _escaped(path: str) -> str:
    """A decoded path without characters that could break the line or control a terminal."""
    return path if path.isprintable() else path.encode("unicode_escape").decode("ascii")
