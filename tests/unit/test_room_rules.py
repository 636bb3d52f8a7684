from __future__ import annotations

import pytest

from odac import ConfigurationError, History, Odac, Presence
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
