from __future__ import annotations

import pytest

from odac.cluster.bus import BrokerBus
from odac.cluster.factory import RunningBus, make_bus
from odac.cluster.solo import SoloBus
from odac.errors import ConfigurationError
from tests.unit.brokers.fakes import FakeHub


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", SoloBus),
        ("memory://name", BrokerBus),
        ("redis://u:geheim@h", BrokerBus),
        ("redis+cluster://h", BrokerBus),
        ("nats://h", BrokerBus),
        ("local://name", BrokerBus),
    ],
)
def test_a_url_makes_a_bus_and_connects_to_nothing(url: str, kind: type) -> None:
    bus = make_bus(url, FakeHub())
    assert isinstance(bus, kind)
    assert isinstance(bus, RunningBus)
    assert bus.processes == 1


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("redis://u:geheim@h?namespace=a.b", "namespace"),
        ("amqp://u:geheim@h", "no broker for amqp"),
        ("redis://u:geheim@h?colour=red", "colour"),
    ],
)
def test_a_url_that_cannot_work_is_found_at_once(url: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as caught:
        make_bus(url, FakeHub())
    assert "geheim" not in str(caught.value)
