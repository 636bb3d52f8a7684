"""The Python client."""

from __future__ import annotations

from odac.client.connection import ClientConnection, Sent, connect
from odac.client.errors import HandshakeRefused

__all__ = ["ClientConnection", "HandshakeRefused", "Sent", "connect"]
