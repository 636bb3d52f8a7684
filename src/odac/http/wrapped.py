"""The app behind ``Odac(http=…)`` at a WebSocket handshake, which it may or may not know about."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

__all__ = ["WrappedWebSockets"]

logger = logging.getLogger("odac")

AsgiApp = Callable[..., Awaitable[Any]]

_REFUSALS: Final = frozenset({"websocket.close", "websocket.http.response.start"})
"""As the first message: the handshake is refused (ASGI WebSocket protocol, and its Denial Response extension)."""


class WrappedWebSockets:
    """Hands handshakes to an app, and notices whether it accepts WebSockets at all.

    Django, Flask behind an adapter and many a plain ASGI app raise when a scope is not HTTP's. To a client that means
    only that there is no such path.

    Args:
        app: any ASGI app.
        on_refusal: takes the scope of a handshake that the app has refused.
    """

    __slots__ = ("_app", "_is_logged", "_on_refusal", "_supports_websockets")

    def __init__(self, app: AsgiApp, on_refusal: Callable[[Mapping[str, Any]], None]) -> None:
        self._app = app
        self._on_refusal = on_refusal
        self._supports_websockets = False  # it has received or sent for one
        self._is_logged = False

    async def serve(self, scope: dict[str, Any], receive: Any, send: Any) -> bool:
        """Let the app serve a handshake and its connection.

        Returns:
            False if it raised before it had received or sent anything, and never has for any other: the handshake still
            waits for its answer.

        Raises:
            Exception: what an app raises that takes WebSockets.
        """
        try:
            if not self._supports_websockets:
                receive = self._watched_receive(receive)
            await self._app(scope, receive, self._watched_send(scope, send))
        except Exception:
            if self._supports_websockets:
                raise
            if not self._is_logged:
                self._is_logged = True
                logger.info(
                    "the app given as http= does not accept WebSockets (it raised): answering 404, and logging"
                    " this once",
                    exc_info=True,
                )
            return False
        return True

    def _watched_receive(self, receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        def watched() -> Awaitable[Any]:
            self._supports_websockets = True
            return receive()

        return watched

    def _watched_send(self, scope: Mapping[str, Any], send: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Any]:
        is_first = True

        def watched(message: Any) -> Awaitable[Any]:
            nonlocal is_first
            if is_first:
                is_first = False
                self._supports_websockets = True
                if message["type"] in _REFUSALS:
                    self._on_refusal(scope)
            return send(message)

        return watched
