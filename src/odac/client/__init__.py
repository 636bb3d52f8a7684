"""The Python client."""

from __future__ import annotations

from odac.client.connection import ClientConnection, Sent, connect
from odac.client.errors import HandshakeRefused
from odac.client.presence import Person, PresenceChange
from odac.client.recovery import Recover

__all__ = ["ClientConnection", "HandshakeRefused", "Person", "PresenceChange", "Recover", "Sent", "connect"]
