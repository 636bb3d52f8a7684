"""What a route may be told besides its path, for the type checker as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypedDict

from odac.config import Overflow, RateLimit

__all__ = ["OPTIONS", "RouteOptions"]


class RouteOptions(TypedDict, total=False):
    """The keyword arguments of ``app.route.ws(path, handler, **options)``."""

    token: bool
    """Whether the handshake must carry a token; by default True."""
    max_payload: int | None
    """Bytes of one incoming message; None for the app's limit."""
    rate_limit: RateLimit | None
    """In place of the app's; None for no limit."""
    raw: bool
    """True: text arrives as ``str``, unparsed."""
    subprotocols: Sequence[str]
    """Application subprotocols that the route speaks."""
    origins: Sequence[str] | str | None
    """In place of the app's; ``"*"`` turns the check off."""
    overflow: Overflow
    """``"close"`` or ``"drop_oldest"``."""
    message: Any
    """A type that incoming JSON is decoded and validated into."""
    compression: bool | None
    """Whether permessage-deflate is negotiated, in place of the app's; None for the app's."""


OPTIONS: Final = tuple(RouteOptions.__annotations__)
