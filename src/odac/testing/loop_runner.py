"""An event loop that a synchronous test turns in its own thread, whenever it asks the app for something."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from odac.testing.loop import TestLoop

__all__ = ["LoopRunner"]

T = TypeVar("T")


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class LoopRunner:
    """An event loop that turns while it is asked something, and stands still between."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=TestLoop)
        self._loop: TestLoop | None = None
        self._closed = False

    def __call__(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Turn the loop until a coroutine has returned; give what it returned.

        Raises:
            RuntimeError: the app has stopped, or an event loop runs here already.
        """
        if self._closed:
            coroutine.close()
            raise RuntimeError(
                "the app has stopped: use its client and connections within 'with TestClient(app) as client:'"
            )
        if _a_loop_runs():
            coroutine.close()
            raise RuntimeError(
                "TestClient turns an event loop of its own, and here one runs already: use AsyncTestClient in"
                " asynchronous tests"
            )
        if self._loop is None:
            self._loop = cast("TestLoop", self._runner.get_loop())
        return self._runner.run(coroutine)

    def close(self) -> None:
        """End the loop, and with it what the app has started and not ended."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            try:
                self._runner.run(self._loop.end_all())
            finally:
                self._runner.close()
