"""Passes WebSocket handshakes to the app given as ``Odac(http=…)``, which may not support WebSockets."""

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
    """Passes handshakes to an app, and detects whether the app supports WebSockets.

    Django, Flask behind an adapter and many plain ASGI apps raise for a scope that is not HTTP's. The client then gets
    the answer for a path that does not exist.

    Args:
        app: any ASGI app.
        on_refusal: called with the scope of a handshake that the app has refused, and with whether it gave no reason:
            Starlette, and so FastAPI, answers like this where no route has the path.
    """

    __slots__ = ("_app", "_is_logged", "_on_refusal", "_supports_websockets")

    def __init__(self, app: AsgiApp, on_refusal: Callable[[Mapping[str, Any], bool], None]) -> None:
        self._app = app
        self._on_refusal = on_refusal
        self._supports_websockets = False  # the app has received or sent for a handshake
        self._is_logged = False

    async def serve(self, scope: dict[str, Any], receive: Any, send: Any) -> bool:
        """Let the app serve a handshake and its connection.

        Returns:
            False if the app raised, and has neither received nor sent anything for this handshake or an earlier one:
            then this handshake is not answered yet.

        Raises:
            Exception: raised by an app that supports WebSockets.
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
                    self._on_refusal(scope, _gives_no_reason(message))
            return send(message)

        return watched


def _gives_no_reason(refusal: Mapping[str, Any]) -> bool:
    return refusal["type"] == "websocket.close" and refusal.get("code", 1000) == 1000 and not refusal.get("reason")
