from __future__ import annotations

import asyncio
from _thread import get_ident

import pytest

from odac.errors import BrokerError
from odac.realtime.receipts import JOINED, Joining, KeptSend, Recovery
from tests.unit.realtime.realtime_fakes import idle, run


def test_joining_a_room_without_history_has_nothing_to_wait_for() -> None:
    async def test() -> None:
        assert await JOINED == Recovery(None, 0)
        assert await JOINED == Recovery(None, 0)

    run(test())


def test_joining_is_through_for_everybody_who_waits_and_later_results_change_nothing() -> None:
    async def test() -> None:
        joining = Joining(asyncio.get_running_loop())

        async def wait() -> Recovery:
            return await joining

        waiting = [asyncio.ensure_future(wait()) for _ in range(3)]
        await idle()
        waiting[0].cancel()
        await idle()
        joining.arrived(Recovery(True, 3))
        joining.arrived(Recovery(False, 0))
        assert [await each for each in waiting[1:]] == [Recovery(True, 3)] * 2
        assert await joining == Recovery(True, 3)
        assert waiting[0].cancelled()

    run(test())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kept_send_waits_for_the_broker(when: str) -> None:
    async def test() -> None:
        sent = KeptSend(asyncio.get_running_loop(), get_ident())

        async def wait() -> None:
            await sent

        if when == "before":
            sent.confirmed()
        waiting = asyncio.ensure_future(wait())
        await idle()
        assert sent.awaited is True
        assert waiting.done() == (when == "before")
        sent.confirmed()
        await waiting

    run(test())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_failure_is_raised_to_each_that_waits(when: str) -> None:
    async def test() -> None:
        sent = KeptSend(asyncio.get_running_loop(), get_ident())

        async def wait() -> None:
            await sent

        if when == "before":
            sent.failed(BrokerError("away"))
        waiting = [asyncio.ensure_future(wait()) for _ in range(2)]
        await idle()
        sent.failed(BrokerError("away"))
        for each in waiting:
            with pytest.raises(BrokerError, match="away"):
                await each

    run(test())


def test_a_send_is_awaited_from_another_event_loop() -> None:
    async def test() -> None:
        sent = KeptSend(asyncio.get_running_loop(), get_ident())

        async def wait() -> str:
            await sent
            return "confirmed"

        other = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(wait())))
        while not sent.awaited or sent._future is None:
            await asyncio.sleep(0)
        sent.confirmed()
        assert await other == "confirmed"

    run(test())


def test_a_failure_that_comes_after_its_caller_was_cancelled_is_no_error_of_the_loop() -> None:
    """Since Python 3.14, shield() reports it to the loop's exception handler."""

    async def test() -> None:
        loop = asyncio.get_running_loop()
        reported: list[dict[str, object]] = []
        loop.set_exception_handler(lambda _, context: reported.append(context))
        sent = KeptSend(loop, get_ident())

        async def wait() -> None:
            await sent

        waiting = asyncio.ensure_future(wait())
        await idle()
        waiting.cancel()
        await idle()
        assert waiting.cancelled()
        sent.failed(BrokerError("away"))
        await idle()
        with pytest.raises(BrokerError, match="away"):
            await sent
        assert reported == []

    run(test())
