"""A client's name, and its positions and tickets in rooms: all of them are signed and stored by the client.

A server process stores nothing: any process with the secret can check what another process or an earlier run has
issued. Signed texts end in fields of fixed lengths, so that no two different contents have the same bytes.
"""

from __future__ import annotations

import hmac
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

from odac.history.rules import UNKNOWN_ERA
from odac.history.store import EPOCH_BYTES

__all__ = [
    "Client",
    "Identity",
    "Position",
    "Signer",
    "Tickets",
    "epoch_of",
    "epoch_text",
    "parse_resume",
    "user_hash",
]

NAME_BYTES: Final = 16
_MAC_BYTES: Final = 16
"""Half of an HMAC-SHA256 (RFC 2104 section 5). This is enough: a forger must try online, once for each connection."""
_BIND_BYTES: Final = 8
_CLIENT_BYTES: Final = NAME_BYTES + 8 + 2 * _BIND_BYTES + _MAC_BYTES
_TICKET_BYTES: Final = 8 + 4 + _MAC_BYTES
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{1,120}").fullmatch
_EPOCH: Final = re.compile(r"[A-Za-z0-9_-]{22}").fullmatch
_TO: Final = bytes.maketrans(b"+/", b"-_")
_FROM: Final = bytes.maketrans(b"-_", b"+/")
_NOBODY: Final = bytes(_BIND_BYTES)
_HIGHEST: Final = 2**53 - 1
"""The largest integer that JavaScript represents exactly."""


class Signer(Protocol):
    """Signs with one key."""

    def sign(self, message: bytes) -> bytes:
        """The signature: 32 bytes."""
        ...


class Identity(NamedTuple):
    """The session and user that a client's name is bound to.

    Args:
        session_id: the id of the handshake's session, or None without one.
        user_id: the user's id as text; None until a gate looks up the user.
    """

    session_id: str | None = None
    user_id: str | None = None


class Client(NamedTuple):
    """A client: one ``Odac.ws()`` object of one page, the same across its reconnects.

    Args:
        name: 22 characters of base64url.
        generation: grows with each reconnect.
    """

    name: str
    generation: int = 0

    @property
    def id(self) -> str:
        """The id of its connection."""
        return f"{self.name}.{self.generation}"


class Position(NamedTuple):
    """A position in a room that a client sends.

    Args:
        room: the room's name; None for its user's inbox.
        epoch: the log's epoch; None if the room was empty.
        offset: the number of the last entry that it got.
        ticket: proves that the client may see the entries after it.
    """

    room: str | None
    epoch: bytes | None
    offset: int
    ticket: str


class Tickets:
    """Signs and checks client names and tickets.

    Args:
        clients: the keys for names, newest first: the first one signs, all verify.
        tickets: the keys for tickets, used in the same way.
    """

    __slots__ = ("_clients", "_tickets")

    def __init__(self, clients: Sequence[Signer], tickets: Sequence[Signer]) -> None:
        self._clients = tuple(clients)
        self._tickets = tuple(tickets)

    def sign_client(self, client: Client, identity: Identity) -> str:
        """Sign the name of a client, for its next ``resume``."""
        head = _decode(client.name) + client.generation.to_bytes(8, "big") + _binding(identity)
        return _encode(head + self._clients[0].sign(head)[:_MAC_BYTES])

    def read_client(self, signed: object, identity: Identity) -> Client | None:
        """The client that a ``resume`` names; None if the name is forged, or of another session or user.

        A name that was signed before the user was looked up is valid for any user: a gate that looks up the user
        decides by itself.
        """
        raw = _raw(signed, _CLIENT_BYTES)
        if raw is None:
            return None
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not any(hmac.compare_digest(mac, key.sign(head)[:_MAC_BYTES]) for key in self._clients):
            return None
        session, user = head[NAME_BYTES + 8 : -_BIND_BYTES], head[-_BIND_BYTES:]
        now = _binding(identity)
        if session != now[:_BIND_BYTES]:
            return None
        if user != _NOBODY and identity.user_id is not None and user != now[_BIND_BYTES:]:
            return None
        generation = int.from_bytes(head[NAME_BYTES : NAME_BYTES + 8], "big")
        return Client(_encode(head[:NAME_BYTES]), generation)

    def ticket(
        self, name: str, room: str, epoch: bytes | None, lowest: int, revoked: int = 0, era: bytes = UNKNOWN_ERA
    ) -> str:
        """Sign a ticket, which allows a client to recover a room from the entry ``lowest`` on.

        Args:
            name: the client's.
            room: the room's.
            epoch: the log's epoch.
            lowest: the first entry that the client may see.
            revoked: how often its user has been revoked in this room so far.
            era: of the room's rule: a ticket is good only as long as that was in force all the time.
        """
        head = lowest.to_bytes(8, "big") + min(revoked, 2**32 - 1).to_bytes(4, "big")
        return _encode(head + self._tickets[0].sign(_signed(name, room, epoch, era) + head)[:_MAC_BYTES])

    def check(self, name: str, room: str, position: Position, revoked: int = 0, era: bytes = UNKNOWN_ERA) -> bool:
        """Whether a client may recover from a position; never raises, even for a malformed ticket."""
        raw = _raw(position.ticket, _TICKET_BYTES)
        if raw is None:
            return False
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        signed = _signed(name, room, position.epoch, era) + head
        if not any(hmac.compare_digest(mac, key.sign(signed)[:_MAC_BYTES]) for key in self._tickets):
            return False
        lowest, then = int.from_bytes(head[:8], "big"), int.from_bytes(head[8:], "big")
        return position.offset >= lowest - 1 and then == revoked

    @staticmethod
    def lowest(position: Position) -> int:
        """The first entry that a checked ticket allows."""
        raw = _raw(position.ticket, _TICKET_BYTES)
        return position.offset + 1 if raw is None else int.from_bytes(raw[:8], "big")


def parse_resume(values: list[Any], most: int) -> tuple[object, list[Position]] | None:
    """The contents of a ``resume``: the signed name and the positions; None if one of them is malformed.

    Args:
        values: the values of the control message.
        most: the maximum number of rooms; the last ones are used, because clients send the newest last.
    """
    if len(values) != 2 or not isinstance(values[1], list):
        return None
    positions: list[Position] = []
    for each in values[1][-most:]:
        if not isinstance(each, list) or len(each) != 4:
            return None
        room, epoch, offset, ticket = each
        if (
            not (room is None or isinstance(room, str))
            or not (epoch is None or (isinstance(epoch, str) and _EPOCH(epoch)))
            or type(offset) is not int
            or not 0 <= offset <= _HIGHEST
            or not isinstance(ticket, str)
        ):
            return None
        positions.append(Position(room, None if epoch is None else _decode(epoch), offset, ticket))
    return values[0], positions


def epoch_text(epoch: bytes | None) -> str | None:
    """An epoch in the form of control messages."""
    return None if epoch is None else _encode(epoch)


def epoch_of(text: object) -> bytes | None:
    """The epoch that a text represents; None if it represents none."""
    return _decode(text) if isinstance(text, str) and _EPOCH(text) else None


def user_hash(user_id: str) -> str:
    """A hash of a user's id, for a room's log: the broker's operators need not learn the ids of revoked users."""
    return sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _signed(name: str, room: str, epoch: bytes | None, era: bytes) -> bytes:
    # A name has 22 characters and the rest but the room fixed lengths, so no other four have these bytes.
    return name.encode() + (epoch or bytes(EPOCH_BYTES)) + era + room.encode("utf-8", "surrogatepass") + b"\0"


def _binding(identity: Identity) -> bytes:
    session = sha256(b"s" + (identity.session_id or "").encode("utf-8", "surrogatepass")).digest()[:_BIND_BYTES]
    if identity.user_id is None:
        return session + _NOBODY
    return session + sha256(b"u" + identity.user_id.encode("utf-8", "surrogatepass")).digest()[:_BIND_BYTES]


def _encode(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_TO).decode("ascii")


def _decode(text: str) -> bytes:
    return a2b_base64(text.encode("ascii").translate(_FROM) + b"=" * (-len(text) % 4))


def _raw(text: object, size: int) -> bytes | None:
    """The bytes of a signed text, if it has that size and is in canonical form; else None."""
    if not isinstance(text, str) or _TEXT(text) is None:
        return None
    try:
        raw = _decode(text)
    except ValueError:
        return None
    return raw if len(raw) == size and _encode(raw) == text else None
