"""Running an app: uvicorn with Odac's own WebSocket protocol in its ``ws=`` seat."""

from __future__ import annotations

from odac.lanes.seat import WebSocketProtocol

__all__ = ["WebSocketProtocol"]
