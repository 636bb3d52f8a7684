"""Reading from a transport at the pace of what takes the messages, and no more in one turn of the event loop than it
may.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from odac.realtime.turn_budget import TurnBudget
from odac.wire.parser import Parser

__all__ = ["PacedReading"]


class PacedReading:
    """Pauses and resumes a transport whose bytes go to a parser.

    One read may bring more frames than one turn of the event loop may handle: the parser keeps the rest
    (:attr:`Parser.rest`), nothing more is read, and the next turns take it.

    Args:
        turn: what all connections together may read in one turn of the event loop.
        transport: is read from.
        parser: may have a rest.
        feed: handles bytes as ``data_received`` does; ``b""`` goes on with the parser's rest.
        is_held_back: whether a slow handler must catch up before anything more is taken.
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
        self._is_scheduled = False  # whether the next turn of the loop takes more of the rest

    def pause(self) -> None:
        """Stop reading: TCP's flow control then stops the peer."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again; if the parser has a rest, take that first."""
        if self._transport.is_closing():
            return
        if self._parser.rest is None:
            self._transport.resume_reading()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._turn.call_next(self._take_rest)

    def take_rest_later(self) -> None:
        """The parser has a rest: read nothing until the next turns have taken it."""
        self.pause()
        if not self._is_held_back():
            self.resume()

    def _take_rest(self) -> None:
        self._is_scheduled = False
        if not self._transport.is_closing() and not self._is_held_back():
            self._feed(b"")
            if not self._is_held_back():
                self.resume()
