"""Each part finds in its owner what the protocol says; mypy compares the types."""

from __future__ import annotations

from typing import Any

import pytest

from odac.realtime import internal_ports
from tests.unit.realtime.realtime_fakes import Room
from tests.unit.realtime.test_ports import members


@pytest.mark.parametrize(
    "name",
    [
        "HubOfConnection",
        "DeliveryOfOutbox",
        "OutboxOwner",
        "EventsOwner",
        "InboxOwner",
        "Listeners",
        "RoomsOwner",
        "HubOfOrders",
        "HandlerOwner",
    ],
)
def test_the_parts_find_what_they_ask_for(name: str) -> None:
    room = Room()
    connection = room.connect()
    found: dict[str, Any] = {
        "HubOfConnection": room.hub,
        "HubOfOrders": room.hub,
        "HubOfKeptSends": room.hub,
        "DeliveryOfOutbox": room.hub.delivery,
        "Listeners": connection.events,
    }
    asked = members(getattr(internal_ports, name))
    assert asked
    assert sorted(each for each in asked if not hasattr(found.get(name, connection), each)) == []
