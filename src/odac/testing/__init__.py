"""Tests of Odac apps without sockets, servers or sleeps."""

from __future__ import annotations

from odac.client.errors import HandshakeRefused
from odac.testing.client import AsyncTestClient
from odac.testing.connection import AsyncTestConnection, NothingReceived
from odac.testing.exchange import Response
from odac.testing.loop import NeverIdle, StillRunning, TestLoop, run
from odac.testing.sync import TestClient, TestConnection

__all__ = [
    "AsyncTestClient",
    "AsyncTestConnection",
    "HandshakeRefused",
    "NeverIdle",
    "NothingReceived",
    "Response",
    "StillRunning",
    "TestClient",
    "TestConnection",
    "TestLoop",
    "run",
]
