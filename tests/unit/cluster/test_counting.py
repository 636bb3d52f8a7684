from __future__ import annotations

import asyncio

from odac.cluster.counting import CountQuestions
from odac.cluster.envelope import CountAnswer, CountQuestion
from odac.cluster.peers import Peers
from odac.realtime.audience import EVERYONE
from odac.realtime.ports import Count
from tests.unit.brokers.fakes import run, ticks

A, B = b"a" * 16, b"b" * 16


def peers() -> Peers:
    peers = Peers(10.0)
    peers.heard(A, 0.0)
    peers.heard(B, 0.0)
    return peers


def test_it_ends_with_the_last_answer() -> None:
    async def main() -> None:
        questions, asked = CountQuestions(peers()), list[CountQuestion]()
        counting = asyncio.create_task(questions.ask(EVERYONE, asked.append, 20))
        await ticks()
        number = asked[0].question
        questions.answered(A, CountAnswer(number, 5))
        questions.answered(B, CountAnswer(number + 1, 100))
        await ticks()
        assert not counting.done()
        questions.answered(B, CountAnswer(number, 7))
        assert await counting == Count(12, 2, 2)
        questions.answered(B, CountAnswer(number, 7))  # too late, and no error

    run(main())


def test_it_waits_no_longer_than_it_is_told_to() -> None:
    async def main() -> None:
        questions = CountQuestions(peers())
        assert await questions.ask(
            EVERYONE, lambda ask: questions.answered(A, CountAnswer(ask.question, 3)), 0.01
        ) == Count(3, 1, 2)

    run(main())
