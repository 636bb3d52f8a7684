"""Runs an event loop in the thread of a synchronous test, for each call of the test client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from odac.testing.loop import TestLoop

__all__ = ["LoopRunner"]

T = TypeVar("T")


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class LoopRunner:
    """An event loop that runs during a call, and does not between two calls."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=TestLoop)
        self._loop: TestLoop | None = None
        self._closed = False

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the loop until a coroutine has returned, and return its result.

        Raises:
            RuntimeError: the app has stopped, or an event loop runs here already.
        """
        if self._closed:
            coroutine.close()
            raise RuntimeError(
                "the app has stopped: use its client and connections within 'with TestClient(app) as client:'"
            )
        if _is_loop_running():
            coroutine.close()
            raise RuntimeError(
                "TestClient runs an event loop of its own, and one runs here already: use AsyncTestClient in"
                " asynchronous tests"
            )
        if self._loop is None:
            self._loop = cast("TestLoop", self._runner.get_loop())
        return self._runner.run(coroutine)

    def close(self) -> None:
        """Close the loop, and end what the app has left running."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            try:
                self._runner.run(self._loop.end_all())
            finally:
                self._runner.close()
