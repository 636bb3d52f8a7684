"""The argument of a handler: ``odac``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from odac.calls.client_call import Call
from odac.realtime.connection import Connection
from odac.realtime.generics import In, Out, Typed
from odac.realtime.ownership import Timer
from odac.request import Request
from odac.security.authentication import Authentication

__all__ = ["Context"]

T = TypeVar("T")


class Context(Typed[In, Out]):
    """One connection with its request and its user.

    ``Context[In, Out]`` gives type checkers the types of the route's ``message=`` and ``sends=``: of the messages that
    ``async for`` yields and that ``send`` accepts.

    Attributes:
        ws: the connection.
        request: the handshake request.
        auth: the connection's user.
        call: in a function that answers a call: the call, which its ``key`` identifies; else None.
    """

    __slots__ = ("auth", "call", "request", "ws")

    def __init__(self, ws: Connection[In, Out], request: Request, auth: Authentication) -> None:
        self.ws = ws
        self.request = request
        self.auth = auth
        self.call: Call | None = None

    def for_call(self, call: Call) -> Context[In, Out]:
        """The context of one call; several calls of a connection may run at the same time."""
        context = Context(self.ws, self.request, self.auth)
        context.call = call
        return context

    def set_timeout(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call a function once after ``seconds``, unless the connection has ended before.

        Args:
            seconds: at least 0.
            function: takes no argument; may be ``async``. What it raises goes to the connection's ``error`` listeners.

        Returns:
            the timer, whose ``cancel()`` stops it.

        Raises:
            ValueError: ``seconds`` is negative, infinite or NaN.
            RuntimeError: it is called on another thread than the event loop's.
        """
        self.ws.check_thread("odac.set_timeout")
        return self.ws.owned.set_timer(seconds, function)

    def set_interval(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call a function every ``seconds`` until the connection ends.

        Args:
            seconds: above 0. An ``async`` function that takes longer is not called again while it runs.
            function: as for :meth:`set_timeout`.

        Returns:
            the timer, whose ``cancel()`` stops it.

        Raises:
            ValueError: ``seconds`` is not above 0, infinite or NaN.
            RuntimeError: it is called on another thread than the event loop's.
        """
        self.ws.check_thread("odac.set_interval")
        return self.ws.owned.set_timer(seconds, function, interval=seconds)

    def create_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine concurrently with the handler; it is cancelled when the connection ends.

        What it raises goes to the connection's ``error`` listeners.

        Raises:
            TypeError: it is not a coroutine.
            RuntimeError: it is called on another thread than the event loop's.
        """
        try:
            self.ws.check_thread("odac.create_task")
        except RuntimeError:
            coroutine.close()  # else Python warns as well that it was never awaited
            raise
        return self.ws.own(coroutine)
