"""Odac: the realtime layer for Python web applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odac.app import Odac
from odac.close_codes import CloseCode
from odac.config import Limits, RateLimit, SessionOptions
from odac.context import Context
from odac.errors import (
    BrokerError,
    BrokerNotConfigured,
    CallError,
    ConfigurationError,
    Disconnected,
    InvalidMessage,
    OdacError,
)
from odac.history.rules import History
from odac.presence.rules import Presence
from odac.realtime.connection import Connection, ReadyState
from odac.realtime.ports import Count, Member, Members
from odac.realtime.receipts import HistoryEntry, Recovery
from odac.routing.options import RouteOptions

if TYPE_CHECKING:
    from odac.client import connect
    from odac.publishing.publisher import AsyncPublisher, Publisher

__all__ = [
    "AsyncPublisher",
    "BrokerError",
    "BrokerNotConfigured",
    "CallError",
    "CloseCode",
    "ConfigurationError",
    "Connection",
    "Context",
    "Count",
    "Disconnected",
    "History",
    "HistoryEntry",
    "InvalidMessage",
    "Limits",
    "Member",
    "Members",
    "Odac",
    "OdacError",
    "Presence",
    "Publisher",
    "RateLimit",
    "ReadyState",
    "Recovery",
    "RouteOptions",
    "SessionOptions",
    "connect",
]

__version__ = "0.1.0"

# A server needs neither the client nor the publisher: they are imported when they are asked for.
_LATER = {
    "AsyncPublisher": "odac.publishing.publisher",
    "Publisher": "odac.publishing.publisher",
    "connect": "odac.client",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'odac' has no attribute {name!r}")
