"""Reading from a transport as fast as the application handles the messages, with a limit for each turn of the event
loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from odac.realtime.turn_budget import TurnBudget
from odac.wire.parser import Parser

__all__ = ["PacedReading"]


class PacedReading:
    """Pauses and resumes a transport whose bytes go to a parser.

    One read may return more frames than one turn of the event loop may handle: the parser keeps the rest
    (:attr:`Parser.rest`), reading pauses, and the next turns parse the rest.

    Args:
        turn: the budget of bytes that all connections together may read in one turn of the event loop.
        transport: the transport to read from.
        parser: its ``rest`` is parsed before reading resumes.
        feed: handles bytes as ``data_received`` does; ``b""`` continues with the parser's rest.
        is_held_back: whether a slow handler must catch up before more messages are parsed.
    """

    __slots__ = ("_feed", "_is_held_back", "_is_scheduled", "_parser", "_transport", "_turn")

    def __init__(
        self,
        turn: TurnBudget,
        transport: asyncio.Transport,
        parser: Parser,
        feed: Callable[[bytes], None],
        is_held_back: Callable[[], bool],
    ) -> None:
        self._turn = turn
        self._transport = transport
        self._parser = parser
        self._feed = feed
        self._is_held_back = is_held_back
        self._is_scheduled = False  # whether a later turn of the loop parses more of the rest

    def pause(self) -> None:
        """Stop reading: TCP's flow control then stops the peer."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again; if the parser has a rest, parse that first."""
        if self._transport.is_closing():
            return
        if self._parser.rest is None:
            self._transport.resume_reading()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._turn.call_next(self._take_rest)

    def take_rest_later(self) -> None:
        """The parser has a rest: read nothing until later turns have parsed it."""
        self.pause()
        if not self._is_held_back():
            self.resume()

    def _take_rest(self) -> None:
        self._is_scheduled = False
        if not self._transport.is_closing() and not self._is_held_back():
            self._feed(b"")
            if not self._is_held_back():
                self.resume()
