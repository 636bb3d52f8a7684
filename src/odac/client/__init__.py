"""The Python client."""

from __future__ import annotations

from odac.client.connection import ClientConnection, Sent, connect
from odac.client.errors import HandshakeRefused
from odac.client.presence import Person, PresenceChange

__all__ = ["ClientConnection", "HandshakeRefused", "Person", "PresenceChange", "Sent", "connect"]
