"""What live members of a room are written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from odac.history.entries import Kept, Unreadable
from odac.history.fanout import FanOut
from odac.protocol.message import Prepared
from odac.realtime.internal_ports import Entry
from tests.unit.history.history_fakes import FakeMember, FakeOwner, as_connection, kept


class Hub:
    """Notes what is added to the log of one turn."""

    def __init__(self, *open_rooms: str) -> None:
        self.open = set(open_rooms)
        self.connections: dict[str, Any] = {}
        self.added: list[tuple[str, bytes, int]] = []
        self.delivery = SimpleNamespace(add=self._add)

    def is_open(self, room: str) -> bool:
        return room in self.open

    def _add(self, entry: Entry, outboxes: Sequence[object] = ()) -> None:
        self.added.append((entry.rooms[0], entry.message.payload, len(outboxes)))


def fanout() -> tuple[FanOut, Hub, FakeOwner]:
    hub, owner = Hub(), FakeOwner()
    return FanOut(cast("Any", hub), owner, "room", 7), hub, owner


def test_a_run_is_written_once_for_each_kind_of_members() -> None:
    async def main() -> None:
        made, hub, _ = fanout()
        made.write([kept(1)])
        assert hub.added == []
        hub.open = {made.positioned, made.plain}
        assert made.is_used
        made.write([kept(5, b"a"), kept(6, b"b")])
        header = bytes(made.header((5, 6)).payload)
        assert header.endswith(b'["at",7,5,6]')
        assert [(room, bytes(payload)) for room, payload, _ in hub.added] == [
            (made.positioned, header),
            (made.positioned, b"a"),
            (made.positioned, b"b"),
            (made.plain, b"a"),
            (made.plain, b"b"),
        ]

    asyncio.run(main())


def test_an_excluded_page_gets_its_place_alone() -> None:
    async def main() -> None:
        made, hub, owner = fanout()
        hub.open = {made.positioned}
        page = FakeMember("page.2")
        page.memberships[made.positioned] = None
        owner.clients["page"] = as_connection(page)
        made.write([kept(1, b"a"), kept(2, b"b", "page.1"), kept(3, b"c")])
        assert [left_out for _, _, left_out in hub.added] == [0, 0, 1, 1, 0, 0]
        assert page.got == [("past", 7, 2)]

    asyncio.run(main())


def test_what_cannot_be_read_is_passed_over() -> None:
    async def main() -> None:
        made, hub, _ = fanout()
        hub.open = {made.positioned}
        entries: list[Kept] = [kept(1, b"a"), Unreadable(2, 0, Prepared(1, b"")), kept(3, b"c")]
        made.write(entries)
        assert [bytes(payload)[-1:] for _, payload, _ in hub.added] == [b"]", b"a", b"]", b"c"]

    asyncio.run(main())
