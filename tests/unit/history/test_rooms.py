"""Which sends are kept, and what the app may say before it starts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from odac.config import Limits
from odac.errors import ConfigurationError
from odac.history.memory_store import MemoryStore, Shared
from odac.history.position import Tickets
from odac.history.rooms import HistoryRooms
from odac.history.rules import History
from odac.protocol.message import Prepared
from odac.realtime.audience import Audience, user_room
from odac.realtime.hub import Hub


def rooms() -> HistoryRooms:
    made = HistoryRooms(Hub(Limits()), Tickets([], []), lambda: MemoryStore(Shared(lambda: 0.0)), str)
    made.book = made.book.with_rooms("kept-*", History())
    return made


@pytest.mark.parametrize(
    ("audience", "concerned"),
    [
        (Audience(("kept-1",)), True),
        (Audience(("plain",)), False),
        (Audience(("plain", "kept-1")), True),
        (Audience(("plain",), ("kept-1",)), True),
        (Audience((user_room("7"),)), False),
    ],
)
def test_a_send_is_concerned_by_any_of_its_rooms(audience: Audience, concerned: bool) -> None:
    assert rooms().concerns(audience) is concerned


def test_only_one_room_can_be_kept() -> None:
    made = rooms()
    made.check(Audience(("kept-1",)))
    for audience in (Audience(("kept-1", "kept-2")), Audience(("kept-1",), ("plain",)), Audience(())):
        with pytest.raises(ValueError, match="keep=False"):
            made.check(audience)


def test_inboxes_have_a_rule_of_their_own() -> None:
    made = rooms()
    made.keep_inboxes(History(), 5)
    assert made.keeps(user_room("7"))
    assert made.replay_of_users == 5
    for replay in (-1, 1001, True, "5"):
        with pytest.raises(ValueError, match="replay"):
            made.keep_inboxes(History(), cast("Any", replay))
    with pytest.raises(ConfigurationError, match="already"):
        made.book = made.book.with_rooms("kept-*", History())


def test_an_app_that_does_not_run_keeps_nothing() -> None:
    made = rooms()
    with pytest.raises(RuntimeError, match="a server has to start it"):
        made.send("kept-1", frozenset(), Prepared(1, b"x"))
    assert made.arrived("a channel that nobody follows", b"") is False
    assert not made.behind(("kept-1",), lambda: None)


def test_every_bound_is_counted() -> None:
    assert set(rooms().figures()) >= {
        "history_rooms",
        "history_clients",
        "history_sessions",
        "history_catching_up",
        "history_cache_bytes",
        "history_reading",
        "history_rereads",
        "history_over_budget",
        "history_failed",
    }
