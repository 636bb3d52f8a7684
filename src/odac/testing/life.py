"""Starts and stops an app by the ASGI lifespan protocol."""

from __future__ import annotations

import asyncio

from odac.testing.exchange import Environment, Message

__all__ = ["AppLife"]


class AppLife:
    """The lifespan of one app.

    Args:
        environment: has the app, and gets the lifespan's state, for requests.
    """

    __slots__ = ("_answers", "_changed", "_environment", "_task", "_to_app")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: dict[str, Message] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the app. If it raises, it does not support lifespan, and is used without, as on a server.

        Raises:
            RuntimeError: the app answered that its start-up failed; the message has its reason.
        """
        self._task = asyncio.get_running_loop().create_task(self._run(), name="app lifespan")
        answer = await self._send("startup")
        if answer is not None and answer["type"].endswith("failed"):
            await self._end()
            raise RuntimeError(f"the app did not start: {answer.get('message') or 'it gave no reason'}")
        if self._task.done() and not self._task.cancelled():
            self._task.exception()  # retrieved, so that asyncio does not log it

    async def stop(self) -> None:
        """Stop the app. If it raises instead of answering, so does this.

        Raises:
            RuntimeError: the app answered that its shutdown failed; the message has its reason.
        """
        if self._task is None or self._task.done():
            return
        answer = await self._send("shutdown")
        await self._end()
        if answer is None and not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error
        if answer is not None and answer["type"].endswith("failed"):
            raise RuntimeError(f"the app's shutdown failed: {answer.get('message') or 'it gave no reason'}")

    async def _send(self, event: str) -> Message | None:
        """Send an event to the app, and return its answer; None if it returned or raised without one."""
        assert self._task is not None
        self._to_app.put_nowait({"type": f"lifespan.{event}"})
        wanted = (f"lifespan.{event}.complete", f"lifespan.{event}.failed")
        while not self._task.done():
            if answer := next((self._answers[kind] for kind in wanted if kind in self._answers), None):
                return answer
            self._changed.clear()
            await self._changed.wait()
        return next((self._answers[kind] for kind in wanted if kind in self._answers), None)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._environment.state,
        }
        try:
            await self._environment.app(scope, self._to_app.get, self._on_answer)
        finally:
            self._changed.set()

    async def _on_answer(self, message: Message) -> None:
        self._answers[message["type"]] = message
        self._changed.set()

    async def _end(self) -> None:
        """Wait until the app has returned; cancel it if it has not within 1 s."""
        assert self._task is not None
        done, late = await asyncio.wait([self._task], timeout=1.0)
        for task in late:
            task.cancel()
            await asyncio.wait([task])
        for task in done:
            if not task.cancelled():
                task.exception()
