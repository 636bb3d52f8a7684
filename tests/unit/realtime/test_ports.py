"""Each protocol's members exist where it is fulfilled; mypy compares their types."""

from __future__ import annotations

from typing import Any

import pytest

from odac.cluster.bus import BrokerBus
from odac.cluster.solo import SoloBus
from odac.lanes.asgi import AsgiLane
from odac.lanes.direct import DirectLane
from odac.realtime import ports
from odac.realtime.hub import Hub
from odac.realtime.no_bus import NoBus
from odac.realtime.orders import Orders
from tests.unit.realtime.realtime_fakes import FakeLane, Room


def members(protocol: type) -> set[str]:
    """The names that a protocol asks for, and those that it has from other protocols of its module."""
    found: set[str] = set()
    for each in protocol.__mro__:
        if each.__module__ == protocol.__module__:
            found.update(each.__annotations__)
            found.update(name for name in vars(each) if not name.startswith("_"))
    return found


@pytest.mark.parametrize(
    ("protocol", "implementation"),
    [
        (ports.Lane, DirectLane),
        (ports.Lane, AsgiLane),
        (ports.Bus, NoBus),
        (ports.Bus, SoloBus),
        (ports.Bus, BrokerBus),
        (ports.LocalHub, Hub),
        (ports.Sender, Hub),
        (ports.LocalOrders, Orders),
        (ports.AudienceOrders, Orders),
    ],
)
def test_a_class_has_what_its_port_asks_for(protocol: type, implementation: type) -> None:
    made_by_init = {"subsystems", "orders"}
    assert members(protocol)
    assert sorted(name for name in members(protocol) - made_by_init if not hasattr(implementation, name)) == []


def test_the_fake_lane_is_a_lane() -> None:
    lane: Any = FakeLane(Room().kernel)
    assert sorted(name for name in members(ports.Lane) - {"buffered"} if not hasattr(lane, name)) == []
