"""The Python client."""

from __future__ import annotations

from odac.client.connection import ClientConnection
from odac.client.errors import HandshakeRefused
from odac.client.invalid import Invalid
from odac.client.opening import connect
from odac.client.presence import Person, PresenceChange
from odac.client.recovery import Recover
from odac.client.sent import Sent

__all__ = ["ClientConnection", "HandshakeRefused", "Invalid", "Person", "PresenceChange", "Recover", "Sent", "connect"]
