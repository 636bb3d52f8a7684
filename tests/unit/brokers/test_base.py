from __future__ import annotations

import pytest

from odac.brokers.base import MAX_PAYLOAD, Broker, Confirming
from odac.brokers.registry import make_broker


@pytest.mark.parametrize(
    "url",
    ["memory://name", "local:///run/x", "redis://u:geheim@h", "redis+cluster://u:geheim@h", "nats://u:geheim@h"],
)
def test_every_broker_fulfils_the_interface_and_shows_no_password(url: str) -> None:
    broker = make_broker(url)
    assert isinstance(broker, Broker)
    assert isinstance(broker, Confirming)
    assert 0 < broker.max_message <= MAX_PAYLOAD
    assert not broker.connected
    assert "geheim" not in broker.address
    assert broker.drops_silently == url.startswith("local")
