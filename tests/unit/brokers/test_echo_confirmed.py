"""A broker without confirmations: what this process sends to itself confirms what went before."""

from __future__ import annotations

import asyncio

import pytest

from odac.brokers import echo_confirmed as module
from odac.brokers.echo_confirmed import EchoConfirmedBroker
from odac.brokers.reconnecting import first_to_end
from odac.brokers.url import parse_url
from odac.errors import BrokerError
from tests.unit.brokers.fakes import run
from tests.unit.brokers.test_reconnecting import Receiver


class Echoing(EchoConfirmedBroker):
    """Its server sends markers back as long as it answers."""

    def __init__(self) -> None:
        super().__init__(parse_url("nats://h"))
        self.sent: list[tuple[str, bytes]] = []
        self.answers = True

    async def send(self, channel: str, payload: bytes) -> None:
        self.sent.append((channel, payload))
        if self.answers and channel == self._marker:
            self._received(channel, payload)

    async def _session(self) -> None:
        self._opened()
        await first_to_end(self._send(self.send), self._confirm(self.send))


def test_a_marker_confirms_what_was_sent_before_it_and_is_no_message() -> None:
    async def main() -> None:
        broker, receiver = Echoing(), Receiver()
        await broker.start(receiver)
        await asyncio.wait_for(broker._opened_once.wait(), 10)
        await asyncio.gather(*(broker.deliver("c", b"%d" % number) for number in range(3)))
        await broker.flush()
        assert [payload for channel, payload in broker.sent if channel == "c"] == [b"0", b"1", b"2"]
        assert receiver.events == ["up"]
        await broker.stop()

    run(main())


def test_without_an_answer_the_session_ends_and_what_was_sent_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONFIRM_TIMEOUT", 0.05)

    async def main() -> None:
        broker, receiver = Echoing(), Receiver()
        await broker.start(receiver)
        await asyncio.wait_for(broker._opened_once.wait(), 10)
        broker.answers = False
        with pytest.raises(BrokerError):
            await broker.deliver("c", b"lost")
        assert receiver.dropped == 1
        await broker.stop()

    run(main())
