"""The application calls back into its connection from every place where its code can run while a message is received.

Over the compiled method and over its reference. `make sanitize` runs this under AddressSanitizer, which sees a use of
memory after its end even where it happens to go well.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from odac.lanes.direct import DirectLane
from odac.protocol.codec import make_decoder
from odac.realtime.connection import Connection
from odac.realtime.policy import Policy
from odac.wire.frames import TEXT, encode_masked_frame
from tests.unit.lanes.test_direct import Site

compiled_data_received = DirectLane.data_received
reference_data_received = DirectLane.reference_data_received
ONE = encode_masked_frame(TEXT, b'{"x":1}', b"mask")
BAD = encode_masked_frame(TEXT, b'{"x":"?"}', b"mask")


@pytest.fixture(params=["reference", "compiled"])
def receive(request: pytest.FixtureRequest) -> Callable[[DirectLane, bytes], None]:
    if request.param == "reference":
        return reference_data_received
    if compiled_data_received is reference_data_received:
        pytest.skip("not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
    return compiled_data_received


class Calls:
    """What the application does, wherever its code happens to run; once, because some of it leads there again."""

    def __init__(self, site: Site, action: str) -> None:
        self.site: Site | None = site
        self.armed = False
        self.action = action
        self.done = 0
        self.got: list[object] = []

    def __call__(self, *_: object) -> None:
        if not self.armed:
            return
        self.done += 1
        site, self.site = self.site, None
        if site is None:
            return
        connection = site.connection
        if self.action == "off":
            connection.off("message")
            connection.off("error")
        elif self.action == "on":
            connection.on("message", self.got.append)
            connection.on("error", self.got.append)
        elif self.action == "replace":
            connection.off("message")
            connection.on("message", self.got.append)
        elif self.action == "close":
            connection.close(4000, "enough")
        elif self.action == "abort":
            site.lane.connection_lost(None)
        elif self.action == "leave":
            connection.join("b")
            connection.leave("a")
            connection.leave("b")
        elif self.action == "send":
            connection.send("x" * 100_000)
            connection.to("a").send([])
            site.room.hub.delivery.flush()
        elif self.action == "receive":
            site.lane.data_received(ONE + ONE)
        else:  # every reference that the application or the server has
            connection.off("message")
            connection.off("error")
            connection.close()
            site.lane.connection_lost(None)
            site.room.hub.connections.clear()
            site.connections.clear()
            site.transport.protocol = None
            site.lane._connection = None  # type: ignore[assignment]
            connection.inbox = None  # type: ignore[assignment]
            del site.connection, site.lane, connection
        gc.collect()


ACTIONS = ["off", "on", "replace", "close", "abort", "leave", "send", "receive", "drop"]


class Move(msgspec.Struct):
    x: Any

    def __post_init__(self) -> None:
        hook = HOOKS.get("decode")
        if hook is not None:
            hook()
        if self.x == "?":
            raise ValueError("not a move")


HOOKS: dict[str, Callable[..., None]] = {}


class Result:
    """What a listener returns: looked at for ``__await__``, then forgotten."""

    def __init__(self, calls: Calls, *, look: bool) -> None:
        self.calls, self.look = calls, look

    def __getattr__(self, name: str) -> Any:
        if self.look and name == "__await__":
            self.calls()
        raise AttributeError(name)

    def __del__(self) -> None:
        if not self.look:
            self.calls()


def listener_of(place: str, calls: Calls) -> Callable[[object], object]:
    if place == "listener":
        return calls
    if place == "the result is looked at":
        return lambda data: Result(calls, look=True)
    if place == "the result is forgotten":
        return lambda data: Result(calls, look=False)
    if place == "error listener":

        def fail(data: object) -> None:
            if calls.armed:
                raise ValueError

        return fail
    return lambda data: None


PLACES = [
    "decode",
    "a decode that fails",
    "listener",
    "the result is looked at",
    "the result is forgotten",
    "error listener",
    "the error is forgotten",
]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("place", PLACES)
def test_the_application_may_do_anything_anywhere(
    place: str, action: str, receive: Callable[[DirectLane, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("odac"), "propagate", False)  # pytest would keep what is raised
    site = Site()
    transport = site.transport
    connection = Connection(site.room.hub, site.lane, Policy("/test", site.limits, decode=make_decoder(Move)))
    site.connection = connection
    site.lane.attach(connection)
    site.room.hub.add(connection)
    connection.join("a")
    calls = Calls(site, action)
    connection.on("message", listener_of(place, calls))
    connection.on("close", calls.got.append)

    class Failure(Exception):
        def __del__(self) -> None:
            calls()

    def fail() -> None:
        raise Failure

    receive(site.lane, ONE)  # the first of the rate limit's window is the reference's
    calls.armed = True
    if place in ("decode", "a decode that fails"):
        HOOKS["decode"] = calls
    elif place == "error listener":
        connection.on("error", calls)
    elif place == "the error is forgotten":
        HOOKS["decode"] = fail
        connection.on("error", lambda: None)
    data = BAD if place == "a decode that fails" else ONE
    lane = site.lane
    del site, connection
    try:
        receive(lane, data)
        if action != "drop":
            receive(lane, data)
        assert calls.done >= 1
    finally:
        HOOKS.clear()
        transport.socket.close()
        transport.far.close()


@pytest.mark.parametrize("count", [1, 3])
def test_an_invalid_message_is_decoded_once(count: int, receive: Callable[[DirectLane, bytes], None]) -> None:
    site = Site()
    decoded: list[bytes] = []

    def decode(payload: bytes) -> object:
        decoded.append(payload)
        raise ValueError("invalid")

    connection = Connection(site.room.hub, site.lane, Policy("/test", site.limits, decode=decode))
    site.lane.attach(connection)
    failures: list[object] = []
    connection.on("message", lambda data: None)
    connection.on("error", failures.append)
    for _ in range(count):
        receive(site.lane, ONE)
    assert decoded == [b'{"x":1}'] * count
    assert [str(each) for each in failures] == ["invalid"] * count
    site.close()


def test_a_listener_is_called_for_the_message_that_was_being_decoded_when_it_was_removed(
    receive: Callable[[DirectLane, bytes], None],
) -> None:
    """As for any event whose delivery has begun: those that come after it are held for the next listener."""
    site = Site()
    got: list[object] = []

    def decode(payload: bytes) -> object:
        site.connection.off("message")
        return payload

    site.connection = Connection(site.room.hub, site.lane, Policy("/test", site.limits, decode=decode))
    site.lane.attach(site.connection)
    site.connection.on("message", got.append)
    receive(site.lane, ONE)
    receive(site.lane, ONE)
    assert got == [b'{"x":1}']
    site.close()
