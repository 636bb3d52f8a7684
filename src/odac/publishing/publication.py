"""Makes the items that a publisher publishes from the arguments of its methods."""

from __future__ import annotations

import secrets
import time

from odac.brokers.registry import default_url
from odac.brokers.url import parse_url
from odac.cluster.envelope import Close, Move, RoomMessage
from odac.errors import BrokerNotConfigured, ConfigurationError
from odac.protocol.codec import encode, encode_binary
from odac.realtime.audience import Audience, check_room
from odac.wire.frames import check_close

__all__ = ["binary_message", "checked_timeout", "checked_url", "closing", "message", "moving"]


def checked_url(url: str | None) -> str:
    """Return the URL of the broker, from the argument or the environment.

    Raises:
        BrokerNotConfigured: there is no URL, or it is ``memory://``, which reaches no other process.
        ConfigurationError: it is not a str.
    """
    if url is not None and not isinstance(url, str):
        raise ConfigurationError(f"Publisher({url!r}): must be the URL of a broker, such as 'redis://localhost'")
    if not url and default_url() == "memory://":
        raise BrokerNotConfigured(
            'a publisher needs the URL of the broker that the app uses: Publisher("redis://…"), or set ODAC_BROKER'
        )
    url = url or default_url()
    if parse_url(url).scheme == "memory":
        raise BrokerNotConfigured(
            "memory:// stays within one process, so nothing that a publisher sends would arrive: give the app and the"
            " publisher the same redis://, nats:// or local:// URL"
        )
    return url


def checked_timeout(timeout: float) -> float:
    """Return the seconds that one call may take.

    Raises:
        ConfigurationError: it is not a number above 0.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < float("inf"):
        raise ConfigurationError(f"Publisher(timeout={timeout!r}): must be a number of seconds above 0")
    return timeout


def message(audience: Audience, data: object) -> RoomMessage:
    """The item that ``send`` publishes."""
    prepared = encode(data)
    return RoomMessage(audience, prepared.opcode, prepared.payload)


def binary_message(audience: Audience, data: object) -> RoomMessage:
    """The item that ``send_binary`` publishes."""
    prepared = encode_binary(data)
    return RoomMessage(audience, prepared.opcode, prepared.payload)


def closing(audience: Audience, code: int, reason: str) -> Close:
    """The item that ``close`` publishes. It has the publisher's time, because a publisher sends no heartbeats, from
    which processes know each other's clocks.
    """
    check_close(code, reason)
    now = time.monotonic()
    return Close(audience, int(code), reason, secrets.randbits(63), now, now)


def moving(audience: Audience, room: str, *, joins: bool) -> Move:
    """The item that ``join`` and ``leave`` publish."""
    return Move(audience, check_room(room), joins)
