"""Clients that come back."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from odac.config import Limits
from odac.history.cursor import HistoryCounters
from odac.history.position import Client, Identity, Position, Tickets
from odac.history.returning import SUBSYSTEM, Returning
from odac.realtime.offered_messages import POSITIONS, OfferedMessages
from odac.security.mac import Mac
from tests.unit.history.history_fakes import FakeMember, as_connection

NAME = "A" * 22
KEY = Mac(b"k" * 32)


class Hub:
    """One process's hub, as far as clients that come back need it."""

    def __init__(self, **limits: Any) -> None:
        self.limits = Limits(**limits)
        self.told: list[tuple[str, list[Any]]] = []
        self.delivery = SimpleNamespace(loop=asyncio.get_running_loop())
        self.offered = OfferedMessages()
        self.bus = SimpleNamespace(subsystems=SimpleNamespace(send_to_all=self._tell))

    def _tell(self, part: str, body: bytes) -> None:
        self.told.append((part, msgspec.msgpack.decode(body)))

    def rename(self, connection: Any, name: str) -> None:
        connection.id = name

    async def resume(self, made: Returning, member: FakeMember, *values: Any, session: str = "session") -> None:
        """A client has offered its positions, and sends these values."""
        connection = as_connection(member)
        self.offered.expect(connection, POSITIONS)
        self.offered.handlers[POSITIONS](connection, list(values))
        await made.resume(connection, session, None)


def returning(**limits: Any) -> tuple[Returning, Hub, HistoryCounters]:
    hub, counters = Hub(**limits), HistoryCounters()
    return Returning(cast("Any", hub), Tickets([KEY], [KEY]), counters), hub, counters


def test_a_client_that_comes_back_is_the_same_and_its_older_connection_ends() -> None:
    async def main() -> None:
        made, hub, _ = returning()
        old, new = FakeMember(f"{NAME}.0"), FakeMember("another.0")
        signed = made.greet(as_connection(old), "session", None)
        await hub.resume(made, new, signed, [["room", None, 0, "t"]])
        assert new.id.startswith(f"{NAME}.")
        assert new.id != old.id
        assert old.closed == [(1000, "the client has connected again")]
        assert made.place_of(as_connection(new), "room") == (NAME, Position("room", None, 0, "t"))
        assert made.place_of(as_connection(new), "room") == (NAME, None), "a place is good for one join"
        await asyncio.sleep(0)
        ((part, came_back),) = hub.told
        assert (part, came_back) == (SUBSYSTEM, [[NAME, int(new.id.partition(".")[2])]])

    asyncio.run(main())


def test_another_session_is_another_client() -> None:
    async def main() -> None:
        made, hub, _ = returning()
        signed = made.greet(as_connection(FakeMember(f"{NAME}.0")), "session", None)
        thief = FakeMember("another.0")
        await hub.resume(made, thief, signed, [], session="another session")
        assert thief.id == "another.0"

    asyncio.run(main())


@pytest.mark.parametrize("values", [["forged", []], [], ["{signed}", "no positions"]], ids=str)
def test_what_is_no_signed_name_with_positions_makes_a_new_client(values: list[Any]) -> None:
    async def main() -> None:
        made, hub, _ = returning()
        signed = made.greet(as_connection(FakeMember(f"{NAME}.0")), "session", None)
        member = FakeMember("another.0")
        await hub.resume(made, member, *(signed if value == "{signed}" else value for value in values))
        assert (member.id, made.visits.of(as_connection(member))) == ("another.0", None)

    asyncio.run(main())


def test_the_newest_positions_are_used_if_there_are_too_many() -> None:
    async def main() -> None:
        made, hub, _ = returning(recovery_rooms=1)
        signed = made.greet(as_connection(FakeMember(f"{NAME}.0")), "session", None)
        member = FakeMember("another.0")
        await hub.resume(made, member, signed, [["old", None, 0, "t"], ["new", None, 0, "t"]])
        visit = made.visits.of(as_connection(member))
        assert visit is not None
        assert list(visit.positions) == ["new"]

    asyncio.run(main())


def test_a_connection_that_ends_before_its_positions_arrive_gets_no_name() -> None:
    async def main() -> None:
        made, hub, _ = returning()
        member = FakeMember("another.0")
        connection = as_connection(member)
        hub.offered.expect(connection, POSITIONS)
        asyncio.get_running_loop().call_soon(hub.offered.closing, connection)
        await made.resume(connection, "session", None)
        assert made.visits.of(connection) is None

    asyncio.run(main())


def test_only_an_older_connection_ends_for_one_elsewhere() -> None:
    async def main() -> None:
        made, _, _ = returning()
        here = FakeMember()
        made.visits.enter(as_connection(here), Client(NAME, 5), Identity(), [])
        for generation in (4, 5):
            made.received(msgspec.msgpack.encode([(NAME, generation)]))
        made.received(b"another version's")
        assert here.closed == []
        made.received(msgspec.msgpack.encode([("B" * 22, 9), (NAME, 6)]))
        assert len(here.closed) == 1

    asyncio.run(main())


def test_another_user_has_no_places() -> None:
    async def main() -> None:
        made, _, _ = returning()
        connection = as_connection(FakeMember())
        made.visits.enter(connection, Client(NAME, 5), Identity("s", "7"), [Position("room", None, 0, "t")])
        made.recognized(connection, "7")
        visit = made.visits.of(connection)
        assert visit is not None
        assert visit.positions
        made.recognized(connection, "8")
        assert visit.positions == {}
        assert made.user_of(connection) == "8"

    asyncio.run(main())


def test_budgets_of_the_connection_and_of_the_session_are_counted() -> None:
    async def main() -> None:
        made, _, counters = returning(recovery_entries=10, recovery_burst=15)
        first, second = as_connection(FakeMember("a.1")), as_connection(FakeMember("b.1"))
        assert not made.may_recover(first, 1), "it is no client that can come back"
        made.visits.enter(first, Client(NAME, 1), Identity("session"), [])
        made.visits.enter(second, Client("B" * 22, 1), Identity("session"), [])
        assert made.may_recover(first, 8)
        assert not made.may_recover(first, 3)
        assert made.may_recover(second, 7)
        assert not made.may_recover(second, 1)
        assert counters.over_budget == 2
        made.ended(first)
        assert made.client_of(first) is None

    asyncio.run(main())
