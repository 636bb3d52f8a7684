from __future__ import annotations

import asyncio
from typing import Any

import pytest

from odac import ConfigurationError, History, Odac, Presence
from odac.brokers.local_history import LocalHistory
from odac.room_rules import RoomRules
from odac.security.secret import Secrets
from tests.unit.test_app import SECRET


def rules() -> RoomRules:
    return RoomRules(Odac(SECRET)._hub, Secrets(SECRET), "memory://")


def test_nothing_is_made_before_a_rule_asks_for_it() -> None:
    made = rules()
    assert (made.history, made.presence) == (None, None)
    made.add("a", None, Presence())
    assert made.history is None
    assert made.presence is made._hub.presence
    made.add_inboxes(History(5), 5)
    assert made.history is made._hub.history


def test_what_was_declared_comes_in_that_order() -> None:
    made, history, presence = rules(), History(5), Presence()
    made.add("b-*", history, None)
    made.add("a", history, presence)
    assert made.declared == [("b-*", history, None), ("a", history, presence)]


def test_what_is_refused_is_not_declared() -> None:
    made = rules()
    with pytest.raises(ConfigurationError, match=r"rooms\('a'\): set at least one"):
        made.add("a", None, None)
    made.is_fixed = True
    with pytest.raises(ConfigurationError, match="call them before it starts"):
        made.add("a", None, Presence())
    with pytest.raises(ConfigurationError, match="call them before it starts"):
        made.add_inboxes(History(), 0)
    assert made.declared == []


def state(made: RoomRules) -> object:
    """What a rule changes in the app."""
    hub, history, presence = made._hub, made.history, made.presence
    return (
        (history, None if history is None else (history.book, history.replay_of_users)),
        (presence, None if presence is None else [presence._rules.of(room) for room in ("a", "b", "c")]),
        (hub.history, hub.presence, list(hub.observers), list(hub.arrivals), dict(hub.control_handlers)),
        list(made.declared),
    )


WRONG: Any = object()


REFUSED: list[tuple[str, Any, Any, type[Exception]]] = [
    ("c", History(), WRONG, TypeError),
    ("c", WRONG, Presence(), TypeError),
    ("\n", History(), Presence(), ConfigurationError),
]
TWICE: list[tuple[str, Any, Any, type[Exception]]] = [
    ("a", History(), Presence(), ConfigurationError),
    ("b", History(), Presence(), ConfigurationError),
]


@pytest.mark.parametrize(
    ("earlier", "pattern", "history", "presence", "error"),
    [*((False, *each) for each in REFUSED), *((True, *each) for each in [*REFUSED, *TWICE])],
)
def test_a_refused_rule_leaves_the_app_as_it_was(
    earlier: bool, pattern: str, history: Any, presence: Any, error: type[Exception]
) -> None:
    made = rules()
    if earlier:
        made.add("a", History(5), None)
        made.add("b", None, Presence())
    before = state(made)
    with pytest.raises(error):
        made.add(pattern, history, presence)
    assert state(made) == before


@pytest.mark.parametrize(
    ("history", "replay", "error"), [(WRONG, 0, TypeError), (History(), 1001, ValueError)], ids=["history", "replay"]
)
@pytest.mark.parametrize("earlier", [False, True], ids=["first-rule", "second-rule"])
def test_a_refused_rule_for_inboxes_leaves_the_app_as_it_was(
    earlier: bool, history: Any, replay: int, error: type[Exception]
) -> None:
    made = rules()
    if earlier:
        made.add_inboxes(History(5), 5)
    before = state(made)
    with pytest.raises(error):
        made.add_inboxes(history, replay)
    assert state(made) == before


def test_another_broker_keeps_the_histories_of_the_rules_that_were_added_before() -> None:
    """As ``odac run --broker`` sets it, after the app's module was imported."""
    made = rules()
    made.add("a", History(5), None)
    made.add("b", None, Presence())
    made.add_inboxes(History(6), 4)
    former = made.history
    made.use_broker("local://another")

    async def store() -> object:
        assert made.history is not None
        return made.history._make_store()

    assert isinstance(asyncio.run(store()), LocalHistory)
    assert made.history is made._hub.history is not former
    assert made.history is not None
    assert made._hub.observers[-2:] == [made.history, made.presence]
    assert former not in made._hub.observers
    assert made.history.book.of("a") == History(5)
    assert made.history.replay_of_users == 4


def test_another_broker_that_keeps_no_history_is_refused() -> None:
    made = rules()
    made.use_broker("nats://localhost")
    with pytest.raises(ConfigurationError, match="history"):
        made.add("a", History(5), None)
    made = rules()
    made.add("a", History(5), None)
    _refuses(made, "nats://localhost", "history")


def test_a_running_app_keeps_its_broker() -> None:
    made = rules()
    made.add("a", History(5), None)
    made.is_fixed = True
    _refuses(made, "memory://another", "the app is running")


def _refuses(made: RoomRules, url: str, why: str) -> None:
    """Another broker is refused, and nothing has changed: the app can go on with its own."""
    before = made.broker_url, made.history, list(made._hub.observers)
    with pytest.raises(ConfigurationError, match=why):
        made.use_broker(url)
    assert (made.broker_url, made.history, made._hub.observers) == before
    assert made._hub.history is made.history is not None
