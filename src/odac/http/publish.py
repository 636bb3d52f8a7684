"""``POST {prefix}/publish``: sending to rooms over HTTP, for programs that have a key."""

from __future__ import annotations

import hashlib
import hmac
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from odac.errors import BrokerError, ConfigurationError
from odac.http.answers import explain, json_answer
from odac.realtime.audience import check_room

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Publication", "PublishEndpoint"]

_SHORTEST_KEY: Final = 16
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publish request asks for.

    Args:
        rooms: the rooms; empty for all connections, which only ``"broadcast": true`` means.
        data: any JSON value.
    """

    rooms: tuple[str, ...]
    data: Any


class PublishEndpoint:
    """Checks the key and the body, and passes the publication on.

    Args:
        publish: sends it; sync or async. ``ValueError`` and ``TypeError`` become a 400 with their sentence,
            ``BrokerError`` a 503: no connection received it.
        keys: the bearer keys, any of which is accepted.
        max_body: bytes of a request's body.

    Raises:
        ConfigurationError: a key is shorter than 16 characters.
    """

    __slots__ = ("_keys", "_max_body", "_publish")

    def __init__(
        self, publish: Callable[[Publication], Awaitable[object] | object], keys: Sequence[str], max_body: int
    ) -> None:
        if isinstance(keys, str):
            keys = [keys]
        for key in keys:
            if len(key) < _SHORTEST_KEY:
                raise ConfigurationError(
                    f"a publish key has {len(key)} characters, and fewer than {_SHORTEST_KEY} can be guessed; make one "
                    'with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
                )
        self._keys = [_hashed(key) for key in keys]
        self._publish = publish
        self._max_body = max_body

    async def answer(self, request: Request) -> Response:
        """202 when it is passed on; 401, 400, 413 or 503 with a sentence otherwise."""
        if not self._authorized(request.headers):
            return explain(
                401, "A valid key is needed: send the header Authorization: Bearer KEY.", {"WWW-Authenticate": "Bearer"}
            )
        from starlette.requests import ClientDisconnect

        try:
            body = await self._body(request)
        except ClientDisconnect:
            return explain(400, "The request ended before its body did.")
        if body is None:
            return explain(413, f"The body is over {self._max_body} bytes.")
        try:
            result = self._publish(_parsed(body))
            if inspect.isawaitable(result):
                await result
        except (ValueError, TypeError) as error:
            return explain(400, str(error))
        except BrokerError as error:
            return explain(503, str(error), {"Retry-After": "1"})
        return json_answer({"published": True}, 202)

    def _authorized(self, headers: Headers) -> bool:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        hashed = _hashed(credentials.strip())
        # All keys are compared, and as hashes, so that the time reveals neither a similar key nor a key's length.
        known = [hmac.compare_digest(hashed, key) for key in self._keys]
        return scheme.lower() == "bearer" and any(known)

    async def _body(self, request: Request) -> bytes | None:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 19 or int(length) > self._max_body):
            return None
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body:
                return None
        return bytes(body)


def _parsed(body: bytes) -> Publication:
    """The publication in a request's body.

    Raises:
        ValueError: it is not one, or a room's name is not allowed; the message says what is wrong.
    """
    try:
        content = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The body is not JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ValueError('The body must be a JSON object such as {"room": "news", "data": {"text": "hello"}}.')
    unknown = content.keys() - {"room", "rooms", "broadcast", "data"}
    if unknown:
        raise ValueError(
            f"Unknown: {', '.join(sorted(map(repr, unknown)))[:200]}. Known are room, rooms, broadcast and data."
        )
    data = content.get("data", _MISSING)
    if data is _MISSING:
        raise ValueError('"data" is missing: it is what the members get, any JSON value.')
    return Publication(_rooms(content), data)


def _rooms(content: dict[str, Any]) -> tuple[str, ...]:
    receivers = [name for name in ("room", "rooms", "broadcast") if name in content]
    if len(receivers) != 1:
        raise ValueError('Exactly one of "room", "rooms" and "broadcast" must name the receivers.')
    value = content[receivers[0]]
    if receivers == ["broadcast"]:
        if value is not True:
            raise ValueError('"broadcast" must be true; leave it out and name a room otherwise.')
        return ()
    rooms = [value] if receivers == ["room"] else value
    # An empty list must not mean all connections.
    if not isinstance(rooms, list) or not rooms or not all(isinstance(room, str) and room for room in rooms):
        raise ValueError('"room" must be a room\'s name, "rooms" a list of at least one.')
    return tuple(map(check_room, rooms))


def _hashed(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
