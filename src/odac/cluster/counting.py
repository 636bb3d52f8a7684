"""Asks the other processes how many connections they have, and collects their answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from odac.cluster.envelope import CountAnswer, CountQuestion
from odac.cluster.peers import Peers
from odac.realtime.audience import Audience
from odac.realtime.ports import Count

__all__ = ["CountQuestions"]


class CountQuestions:
    """The questions of this process that some other processes have not answered yet.

    Args:
        peers: the processes that are expected to answer.
    """

    __slots__ = ("_open", "_peers")

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._open: dict[int, tuple[dict[bytes, int], asyncio.Event]] = {}

    async def ask(self, audience: Audience, send: Callable[[CountQuestion], object], timeout: float) -> Count:  # noqa: ASYNC109
        """Ask, and wait until all known processes have answered, or ``timeout`` seconds.

        Args:
            audience: the connections to count.
            send: sends the question to all other processes.
            timeout: seconds to wait at most.
        """
        answers: dict[bytes, int] = {}
        question = secrets.randbits(63)
        changed = asyncio.Event()
        self._open[question] = (answers, changed)
        try:
            send(CountQuestion(question, audience))
            async with asyncio.timeout(timeout):
                while not self._peers.origins <= answers.keys():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            pass
        finally:
            del self._open[question]
        return Count(sum(answers.values()), len(answers), len(self._peers.origins | answers.keys()))

    def answered(self, origin: bytes, answer: CountAnswer) -> None:
        """A process has answered; late answers are ignored."""
        if answer.question in self._open:
            answers, changed = self._open[answer.question]
            answers[origin] = answer.total
            changed.set()
