"""The ASGI lifespan of an app that may have another one inside."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

__all__ = ["Lifespan"]

logger = logging.getLogger("odac")

_STARTED: Final = "lifespan.startup.complete"


class Startable(Protocol):
    """An app that is started and stopped."""

    async def startup(self) -> None:
        """Start."""
        ...

    async def shutdown(self) -> None:
        """Stop."""
        ...


class Lifespan:
    """Starts the outer app before the inner one, and stops it after.

    Args:
        outer: this app.
        inner: the wrapped ASGI app, or None. If it does not support lifespan (it raises), it is not started or stopped.
    """

    def __init__(self, outer: Startable, inner: Callable[..., Awaitable[Any]] | None) -> None:
        self._outer = outer
        self._inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve a ``lifespan`` scope."""
        message = await receive()
        assert message["type"] == "lifespan.startup"
        try:
            await self._outer.startup()
        except Exception as error:
            logger.error("the app cannot start: %s", error)
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        if self._inner is None or not await self._run_inner(scope, message, receive, send):
            await send({"type": _STARTED})
            await receive()
            await self._end()
            await send({"type": "lifespan.shutdown.complete"})

    async def _end(self) -> None:
        try:
            await self._outer.shutdown()
        except Exception:
            logger.exception("the app's shutdown failed")

    async def _run_inner(self, scope: dict[str, Any], startup: dict[str, Any], receive: Any, send: Any) -> bool:
        """Run the inner app's lifespan; return False if it does not support lifespan."""
        first: list[dict[str, Any]] = [startup]
        last_sent = ""
        stopping = False

        async def inner_receive() -> Any:
            nonlocal stopping
            message = first.pop() if first else await receive()
            stopping = message["type"] == "lifespan.shutdown"
            return message

        async def inner_send(message: dict[str, Any]) -> None:
            nonlocal last_sent
            last_sent = message["type"]
            if last_sent != _STARTED:
                await self._end()
            await send(message)

        assert self._inner is not None
        last = {"type": "lifespan.shutdown.complete"}
        try:
            await self._inner(scope, inner_receive, inner_send)
        except Exception as error:
            if not last_sent:
                return False
            if last_sent != _STARTED:
                raise
            logger.exception("the lifespan of the app behind http= failed")
            last = {"type": "lifespan.shutdown.failed", "message": str(error)}
        if last_sent == _STARTED:
            # The wrapped app's lifespan ended early, but not this app: this side reports the end to the server.
            if not stopping:
                await receive()
            await self._end()
            await send(last)
        return bool(last_sent)
