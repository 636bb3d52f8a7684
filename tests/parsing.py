"""The parser, fed to its end: how much it takes at a time is the lanes' matter."""

from __future__ import annotations

from odac.wire.parser import Event, Parser

__all__ = ["feed_all"]


def feed_all(parser: Parser, data: bytes) -> list[Event]:
    """Every event that ``data`` completes."""
    events = parser.feed(data)
    while parser.rest is not None:
        events += parser.feed(b"")
    return events
