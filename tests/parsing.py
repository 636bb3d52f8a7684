"""Feed the parser until it has read everything: the lanes decide how much it reads at a time."""

from __future__ import annotations

from odac.wire.parser import Event, Parser

__all__ = ["feed_all"]


def feed_all(parser: Parser, data: bytes) -> list[Event]:
    """Every event that ``data`` completes."""
    events = parser.feed(data)
    while parser.rest is not None:
        events += parser.feed(b"")
    return events
