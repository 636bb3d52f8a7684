"""The options of a route: its keyword arguments, for type checkers, and their checked values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Final, TypedDict

from odac.config import Limits, OnInvalidMessage, Overflow, RateLimit
from odac.errors import ConfigurationError
from odac.protocol.codec import decode_text, make_decoder
from odac.protocol.types import not_decodable, takes_bytes
from odac.realtime.policy import Policy
from odac.security.origin import OriginPolicy
from odac.wire.handshake import AUTH, RESUME, SUBPROTOCOL, TOKEN_PREFIX
from odac.wire.headers import is_token

__all__ = ["OPTIONS", "CheckedOptions", "RouteOptions"]

_OWN: Final = frozenset({SUBPROTOCOL, AUTH, RESUME})

_APPS_OWN: Any = object()
"""The rate limit of a route that names none: None already means that there is no limit."""


class RouteOptions(TypedDict, total=False):
    """The keyword arguments of ``app.route.ws(path, handler, **options)``."""

    token: bool
    """Whether the handshake must carry a token; by default True."""
    max_payload: int | None
    """Bytes of one incoming message; None for the app's limit."""
    rate_limit: RateLimit | None
    """Replaces the app's rate limit; None for no limit."""
    raw: bool
    """True: text arrives as ``str``, unparsed."""
    subprotocols: Sequence[str]
    """Application subprotocols that the route supports."""
    origins: Sequence[str] | str | None
    """Replaces the app's allowed origins; ``"*"`` turns the check off."""
    overflow: Overflow
    """``"close"`` or ``"drop_oldest"``."""
    message: Any
    """A type that incoming JSON is decoded and validated into."""
    on_invalid: OnInvalidMessage
    """For invalid messages: ``"close"`` with 1007, or ``"answer"``: send the reason to ``odac.v1`` clients."""
    sends: Any
    """The type of the messages that the route sends: only for the contract; it is not checked at run time."""
    compression: bool | None
    """Whether permessage-deflate is negotiated; None for the app's setting."""


OPTIONS: Final = tuple(RouteOptions.__annotations__)


@dataclass(frozen=True, slots=True)
class CheckedOptions:
    """The options of one route, each as :class:`RouteOptions` describes it.

    Raises:
        ConfigurationError: a value is out of its range, or two contradict each other; the message names the fix.
    """

    token: bool = True
    max_payload: int | None = None
    rate_limit: RateLimit | None = _APPS_OWN
    raw: bool = False
    subprotocols: Sequence[str] = ()
    origins: Sequence[str] | str | None = None
    overflow: Overflow = "close"
    message: Any = None
    on_invalid: OnInvalidMessage = "close"
    sends: Any = None
    compression: bool | None = None

    def __post_init__(self) -> None:
        for name in ("token", "raw"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name}={getattr(self, name)!r} must be True or False")
        if self.compression not in (True, False, None):
            raise ConfigurationError(f"compression={self.compression!r} must be True, False or None, the app's")
        if self.overflow not in ("close", "drop_oldest"):
            raise ConfigurationError(f"overflow={self.overflow!r} must be 'close' or 'drop_oldest'")
        if self.on_invalid not in ("close", "answer"):
            raise ConfigurationError(f"on_invalid={self.on_invalid!r} must be 'close' or 'answer'")
        if self.raw and self.message is not None:
            raise ConfigurationError("raw=True delivers text undecoded, message= decodes it: choose one")
        _check_subprotocols(self.subprotocols)

    def given(self) -> dict[str, object]:
        """The options that differ from their defaults, for ``odac routes``."""
        values = ((each, getattr(self, each.name)) for each in fields(self))
        return {each.name: value for each, value in values if each.default is MISSING or value != each.default}

    def origin_policy(self) -> OriginPolicy | None:
        """The route's own origin check, or None for the app's.

        Raises:
            ConfigurationError: an origin is malformed.
        """
        return None if self.origins is None else OriginPolicy(self.origins)

    def policy(self, path: str, limits: Limits) -> Policy:
        """The limits and the decoder of the route's connections.

        Args:
            path: the route's path, for log lines.
            limits: the app's limits, which the route's own override.

        Raises:
            ConfigurationError: a limit is out of its range, or JSON cannot be decoded into the type.
        """
        if self.max_payload is not None:
            limits = replace(limits, max_payload=self.max_payload)
        if self.rate_limit is not _APPS_OWN:
            limits = replace(limits, rate_limit=self.rate_limit)
        takes_binary = self.message is None or takes_bytes(self.message)
        return Policy(
            path,
            limits,
            overflow=self.overflow,
            decode=self._decoder(),
            takes_binary=takes_binary,
            on_invalid=self.on_invalid,
        )

    def _decoder(self) -> Callable[[bytes], object]:
        if self.raw:
            return bytes.decode
        if self.message is None:
            return decode_text
        try:
            return make_decoder(self.message)
        except TypeError as error:
            raise ConfigurationError(f"message= of the route: {not_decodable(self.message, error)}") from None


def _check_subprotocols(names: Sequence[str]) -> None:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ConfigurationError(f"subprotocols={names!r} must be a list: [{str(names)!r}]")
    for name in names:
        if not isinstance(name, str) or not is_token(name) or name in _OWN or name.startswith(TOKEN_PREFIX):
            raise ConfigurationError(
                f"{name!r} cannot be a subprotocol of a route: it must be a token (RFC 6455 section 4.1), and none of"
                " Odac's own"
            )
