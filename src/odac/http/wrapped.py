"""The app behind ``Odac(http=…)`` at a WebSocket handshake, which it may or may not know about."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["WrappedWebSockets"]

logger = logging.getLogger("odac")

AsgiApp = Callable[..., Awaitable[Any]]


class WrappedWebSockets:
    """Hands handshakes to an app, and notices whether it accepts WebSockets at all.

    Django, Flask behind an adapter and many a plain ASGI app raise when a scope is not HTTP's. To a client that means
    only that there is no such path.

    Args:
        app: any ASGI app.
    """

    __slots__ = ("_app", "_refused", "_takes_them")

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._takes_them = False  # it has received or sent for one
        self._refused = False

    async def takes(self, scope: dict[str, Any], receive: Any, send: Any) -> bool:
        """Let the app serve a handshake and its connection.

        Returns:
            False if it raised before it had received or sent anything, and never has for any other: the handshake still
            waits for its answer.

        Raises:
            Exception: what an app raises that takes WebSockets.
        """
        try:
            if self._takes_them:
                await self._app(scope, receive, send)
            else:
                await self._app(scope, self._noted(receive), self._noted(send))
        except Exception:
            if self._takes_them:
                raise
            if not self._refused:
                self._refused = True
                logger.info(
                    "the app given as http= does not accept WebSockets (it raised): answering 404, and logging"
                    " this once",
                    exc_info=True,
                )
            return False
        return True

    def _noted(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        def noted(*arguments: Any) -> Awaitable[Any]:
            self._takes_them = True
            return call(*arguments)

        return noted
