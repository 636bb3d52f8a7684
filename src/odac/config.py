"""Limits and session settings: frozen values, checked when they are created. Each default has its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from math import ceil
from typing import Final, Literal

from odac.errors import ConfigurationError
from odac.spelling import check_fields

__all__ = ["DEFAULT_RATE_LIMIT", "Limits", "OnInvalidMessage", "Overflow", "RateLimit", "SessionOptions"]

Overflow = Literal["close", "drop_oldest"]
"""What happens when a connection's outgoing buffer is full: close it with 1013, or drop its oldest room messages."""

OnInvalidMessage = Literal["close", "answer"]
"""How to handle an invalid message without an ``invalid`` listener: close with 1007, or answer with the error."""

_LEAST: Final = {
    "max_payload": (16, "the answer of an odac.v1 client to a ping must fit"),
    "resume_bytes": (64 * 1024, "clients send as much"),
    "max_headers": (5, "a handshake has that many (RFC 6455 section 4.1)"),
    "max_header_bytes": (128, "a handshake takes that many (RFC 6455 section 4.1)"),
}
_MOST: Final = 2**40
"""The largest count: a larger one limits nothing and is most likely a mistake."""
_LONGEST: Final = 86_400
"""The longest time in seconds: a longer one was most likely meant in milliseconds, and browser timers end at 25 days.
"""


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _LONGEST


@check_fields
@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many messages one connection may send, control frames included: in any window, whenever it begins.

    Args:
        max: messages per window, at least 1.
        window: the window's length in seconds.
        bytes: of all messages of a window together, inflated, or None for no such limit. At least ``max_payload``, so
            that one message of the largest size fits.

    Raises:
        ConfigurationError: a value is out of its range.
    """

    max: int
    window: float = 1.0
    bytes: int | None = None

    def __post_init__(self) -> None:
        if not _is_count(self.max):
            raise ConfigurationError(
                f"RateLimit(max={self.max!r}): must be a whole number from 1; rate_limit=None turns the limit off"
            )
        if not _is_duration(self.window):
            raise ConfigurationError(
                f"RateLimit(window={self.window!r}): must be a number of seconds above 0, at most a day"
            )
        if self.bytes is not None and not _is_count(self.bytes):
            raise ConfigurationError(f"RateLimit(bytes={self.bytes!r}): must be a whole number from 1, or None")


DEFAULT_RATE_LIMIT: Final = RateLimit(100, 1.0)


@check_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one app. Exceeding one leads to a named close code or HTTP status, and the log names the field.

    Args:
        max_payload: bytes of one message after inflating and reassembling. Above it: close 1009, decided on the frame's
            header, before anything is buffered. 1 MiB, as in ``websockets`` and Socket.IO: larger contents should be
            uploaded over HTTP.
        max_fragments: frames of one message. Above it: 1008. 1,024 is far more than any browser sends, and bounds
            the cost of a message of empty fragments.
        rate_limit: messages per window, or None for no limit. Above it: 1008. 100 a second is more than a person's
            typing, drawing or playing sends, and less than a faulty loop sends.
        outgoing_buffer: bytes waiting for one slow reader, each message counted with 256 bytes more than its frame for
            the objects around it. Above it: 1013, or ``overflow="drop_oldest"``.
            1 MiB holds any one message that ``max_payload`` allows, and 1,000 stalled readers stay below 1 GiB.
        incoming_queue: messages that wait for one connection's async handler. Above it, reading pauses, and TCP's
            flow control stops the peer. 16, as in ``websockets``: enough for a burst, too few to hide a slow handler.
            Reading pauses sooner when ``max_payload`` bytes wait (64 KiB if that is more).
        handshake_timeout: seconds from the first byte of the request to the end of the handshake.
            10 is enough for a slow phone on a bad network, and bounds the cost of a thousand idle sockets.
        max_headers: header lines of a handshake. Above it: 431. 100, as uWebSockets; browsers send about 15.
        max_header_bytes: bytes of all header lines together. Above it: 431. 16 KiB holds four full cookies.
        ping_interval: seconds between two pings to one connection. 25 is below the shortest idle timeouts of mobile
            networks and proxies, 30 s.
        pong_timeout: seconds to wait for anything from the peer after a ping. After that, the peer gets 1011 if no data
            is queued before it, and ``close`` listeners get 1006. 20, as in Socket.IO.
        close_timeout: seconds to wait for the peer's close frame. After that, the transport is aborted.
        rooms_per_connection: rooms one connection may be in. Above it: ``ValueError`` at ``join``. 128, as Centrifugo.
        recovery_entries: messages of rooms with history that one connection may recover after coming back, over all its
            rooms. Above it: it is notified that some are missing, and loads the state, which costs less. 1,000.
        recovery_bytes: the same in bytes, for each room. 4 MiB.
        recovery_rooms: rooms for which one client may send a position; above it, the rooms that it joined first are not
            recovered, and it is notified. 128, as ``rooms_per_connection``.
        recovery_burst: messages that one session may recover at once, over all its connections. Above it: as
            ``recovery_entries``. 20,000 are twenty full recoveries, as of many tabs after a deployment.
        recovery_rate: messages a second by which that fills up again: 200, so that a client that reconnects in a loop
            costs no more.
        recovery_sessions: sessions whose bursts are remembered; the one that recovered longest ago is forgotten.
        resume_bytes: bytes of a client's ``resume``. Above it: close 1009. 64 KiB, which Odac's clients keep to.
        resume_timeout: seconds to wait for the ``resume`` of a client that has offered one. After that, it is a new
            client. 5 is a slow phone; only the client itself waits.
        catch_up_entries: messages of a room's history that are written to one member in one turn of the event loop.
        catch_up_bytes: their bytes. 64 KiB are about what a socket's buffer takes.
        history_bytes: of the histories of all rooms that this process keeps (``memory://``), or that the holder of
            ``local://`` keeps. Above it: the room quiet for longest loses its history. 64 MiB.
        history_cache_bytes: of messages that this process keeps for members that come back, over all rooms. Above it:
            they are read from the broker when needed. 32 MiB.
        history_queue_bytes: of messages to rooms with history that wait for the broker. Above it: ``BrokerError``.
            16 MiB.
        history_queue_time: seconds that such a message waits for a disconnected broker. After that: ``BrokerError``.
            10 is a restart or a failover.
        history_batch: messages of one room that are stored in one step.
        history_batch_bytes: their bytes. 256 KiB block a Redis server for less than a millisecond.
        history_notices: publications that are held while this process reads a room's history. Above it: it is read once
            more.
        history_reads: reads of histories that are under way at a time; the next ones wait.
        history_page: messages of one read.
        max_connections: connections of this process, HTTP connections included where the server counts them. Above it:
            503 with ``Retry-After``. 65,536, as NATS.
        connections_per_ip: connections of one client address, or None for no limit (many people share one address
            behind a company's NAT). Above it: 503. An IPv4 address in its IPv6 form is the same, a /64 of IPv6 is one,
            and so are all clients without an address.
        calls_per_connection: calls of one connection that are answered at a time. Above it, the caller gets ``busy``.
            16, as ``incoming_queue``: enough that a slow answer delays no other, and few enough to bound what one
            client starts.
        remembered_time: seconds for which the outcome of a call with ``retry`` is remembered. 120 is longer than a
            client tries to come back after a lost network, and than a person waits.
        remembered_calls: such outcomes of one client; the oldest is dropped, and the call ``interrupted`` if it is sent
            again.
        remembered_bytes: of all such outcomes of this process, with 512 for each. 64 MiB are 100,000 small ones.
        drain_timeout: seconds within which a stopping server closes its connections, at most 500 a second; at most 30.

    Raises:
        ConfigurationError: a value is out of its range, or two contradict each other; the message names the field, the
            range and what to change.
    """

    max_payload: int = 1024 * 1024
    max_fragments: int = 1024
    rate_limit: RateLimit | None = DEFAULT_RATE_LIMIT
    outgoing_buffer: int = 1024 * 1024
    incoming_queue: int = 16
    handshake_timeout: float = 10.0
    max_headers: int = 100
    max_header_bytes: int = 16 * 1024
    ping_interval: float = 25.0
    pong_timeout: float = 20.0
    close_timeout: float = 10.0
    rooms_per_connection: int = 128
    recovery_entries: int = 1000
    recovery_bytes: int = 4 * 1024 * 1024
    recovery_rooms: int = 128
    recovery_burst: int = 20_000
    recovery_rate: int = 200
    recovery_sessions: int = 10_000
    resume_bytes: int = 64 * 1024
    resume_timeout: float = 5.0
    catch_up_entries: int = 256
    catch_up_bytes: int = 64 * 1024
    history_bytes: int = 64 * 1024 * 1024
    history_cache_bytes: int = 32 * 1024 * 1024
    history_queue_bytes: int = 16 * 1024 * 1024
    history_queue_time: float = 10.0
    history_batch: int = 128
    history_batch_bytes: int = 256 * 1024
    history_notices: int = 1024
    history_reads: int = 64
    history_page: int = 1000
    max_connections: int = 65_536
    connections_per_ip: int | None = None
    calls_per_connection: int = 16
    remembered_time: float = 120.0
    remembered_calls: int = 256
    remembered_bytes: int = 64 * 1024 * 1024
    drain_timeout: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "rate_limit":
                if value is not None and not isinstance(value, RateLimit):
                    raise ConfigurationError(f"Limits(rate_limit={value!r}): must be a RateLimit or None")
            elif field.name == "connections_per_ip":
                if value is not None and not _is_count(value):
                    raise ConfigurationError(
                        f"Limits(connections_per_ip={value!r}): must be a whole number from 1, or None"
                    )
            elif field.type == "int":
                least, why = _LEAST.get(field.name, (1, ""))
                if not _is_count(value, least):
                    raise ConfigurationError(
                        f"Limits({field.name}={value!r}): must be a whole number from {least}"
                        + (f": {why}" if why else "")
                    )
            elif not _is_duration(value):
                raise ConfigurationError(
                    f"Limits({field.name}={value!r}): must be a number of seconds above 0, at most a day"
                )
        self._check_together()

    def _check_together(self) -> None:
        if self.drain_timeout > 30:
            raise ConfigurationError(f"Limits(drain_timeout={self.drain_timeout!r}): must be at most 30 seconds")
        if self.connections_per_ip is not None and self.connections_per_ip > self.max_connections:
            raise ConfigurationError(
                f"Limits(connections_per_ip={self.connections_per_ip}): is more than"
                f" max_connections={self.max_connections} and would never be met: lower it"
            )
        rate = self.rate_limit
        if rate is not None and rate.bytes is not None and rate.bytes < self.max_payload:
            raise ConfigurationError(
                f"Limits(rate_limit={rate!r}): a message of max_payload={self.max_payload} bytes would never pass:"
                " raise bytes, or lower max_payload"
            )
        if rate is not None and (pongs := ceil(rate.window / self.ping_interval)) > rate.max:
            raise ConfigurationError(
                f"Limits(rate_limit={rate!r}): a client that only answers the {pongs} pings of {rate.window:g} s"
                f" (ping_interval={self.ping_interval:g}) would be closed: raise max, shorten window, or raise"
                " ping_interval"
            )


_DAY: Final = 86_400
_COOKIE_DAYS: Final = 400
"""Browsers keep no cookie for longer (RFC 6265bis section 5.5)."""
_cookie_name = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}").fullmatch


@check_fields
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """The session cookie: its name, and how long a login lasts.

    Args:
        cookie: the cookie's name over HTTP; over HTTPS it is ``__Host-`` and this. Cookies of one host are shared by
            all its ports: two projects that share the host and not the secret keep each other's cookie, and one of them
            stores its own under this name with a suffix.
        max_age: seconds that the cookie is valid after it was signed; a page that fetches a token in their second half
            renews it. Two weeks, as Django and Starlette have it.
        lifetime: seconds after a login at which it ends, however often the cookie was renewed. 30 days, the longest
            that NIST SP 800-63B section 4.1.3 lets pass between two logins. Logouts are remembered for as long.

    Raises:
        ConfigurationError: a value is out of its range; the message names the field and what to change.
    """

    cookie: str = "odac"
    max_age: int = 14 * _DAY
    lifetime: int = 30 * _DAY

    def __post_init__(self) -> None:
        if not isinstance(self.cookie, str) or not _cookie_name(self.cookie):
            raise ConfigurationError(
                f"SessionOptions(cookie={self.cookie!r}): must be a cookie's name of 1 to 64 characters, letters,"
                " digits and '-' or '_'"
            )
        if self.cookie.lower().startswith(("__host-", "__secure-")):
            raise ConfigurationError(
                f"SessionOptions(cookie={self.cookie!r}): leave the prefix out; __Host- is put before the name over"
                " HTTPS"
            )
        for name in ("max_age", "lifetime"):
            value = getattr(self, name)
            if not _is_count(value) or value > _COOKIE_DAYS * _DAY:
                raise ConfigurationError(
                    f"SessionOptions({name}={value!r}): must be a whole number of seconds from 1, at most"
                    f" {_COOKIE_DAYS} days"
                )
