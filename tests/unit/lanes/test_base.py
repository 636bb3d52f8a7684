from __future__ import annotations

import inspect

import pytest

from odac import Odac
from odac.lanes.asgi_handshake import AsgiHandshake
from odac.lanes.base import BEGINS_WITHOUT_TASK, LANE_EXTENSION, PendingHandshake
from odac.serving.protocols.websocket import WebSocketProtocol

STEPS = [name for name in vars(PendingHandshake) if not name.startswith("_")]


@pytest.mark.parametrize("pending_handshake", [AsgiHandshake, WebSocketProtocol])
def test_both_lanes_offer_each_step_of_a_handshake_with_the_same_arguments(pending_handshake: type) -> None:
    assert STEPS == ["refuse", "open", "serve"]
    for name in STEPS:
        expected = inspect.signature(getattr(PendingHandshake, name)).parameters
        found = inspect.signature(getattr(pending_handshake, name)).parameters
        assert list(found) == list(expected)
        assert [each.kind for each in found.values()] == [each.kind for each in expected.values()]
        assert inspect.iscoroutinefunction(getattr(pending_handshake, name))


def test_the_app_says_that_it_begins_without_a_task() -> None:
    assert getattr(Odac("secret" * 8), BEGINS_WITHOUT_TASK) is True
    assert LANE_EXTENSION == "odac.lane"
