"""CSRF tokens: short-lived proof that a handshake comes from a page of this site, bound to its session cookie.

The form: base64url(nonce ‖ expiry ‖ HMAC-SHA256(key, session id ‖ nonce ‖ expiry)). Nonce and expiry
have fixed lengths and are at the end of the signed bytes, so no two triples sign the same bytes. 16 + 6 + 32 bytes make
72 characters without padding or unused bits: a token has exactly one spelling.
"""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Callable
from typing import Final

from odac.errors import ConfigurationError
from odac.security.base64url import base64url, from_base64url
from odac.security.mac import Mac
from odac.security.secret import Secrets

__all__ = ["LIFETIME", "Tokens"]

LIFETIME: Final = 600
"""Seconds that a token is valid: a page fetches one just before it connects, so minutes are enough."""

_NONCE: Final = 16
_EXPIRY: Final = 6
_HEAD: Final = _NONCE + _EXPIRY
_form = re.compile(r"[A-Za-z0-9_-]{72}").fullmatch
_compare = hmac.compare_digest


class Tokens:
    """Issues and checks tokens, with no storage: any process with the secret can check what another issued.

    Args:
        secrets: the app's secrets; the first signs, all verify.
        lifetime: seconds that a token is valid.
        clock: the time in seconds since 1970.

    Raises:
        ConfigurationError: ``lifetime`` is not a number of seconds from 1.
    """

    __slots__ = ("_clock", "_macs", "lifetime")

    def __init__(self, secrets: Secrets, lifetime: float = LIFETIME, clock: Callable[[], float] = time.time) -> None:
        if isinstance(lifetime, bool) or not 1 <= lifetime < float("inf"):
            raise ConfigurationError(f"a token's lifetime of {lifetime!r}: must be a number of seconds from 1")
        self.lifetime = lifetime
        self._macs = [Mac(key) for key in secrets.keys("token v1")]
        self._clock = clock

    def issue(self, session_id: str) -> str:
        """Make a token for one session, valid for :attr:`lifetime` seconds: 72 characters of base64url."""
        head = os.urandom(_NONCE) + int(self._clock() + self.lifetime).to_bytes(_EXPIRY, "big")
        mac = self._macs[0].sign(session_id.encode("utf-8", "surrogatepass") + head)
        return base64url(head + mac).decode("ascii")

    def verify(self, token: str | None, session_id: str | None) -> bool:
        """Whether ``token`` was issued for this session and has not expired.

        Never raises, even for a malformed token; without a session no token is valid. The time taken does not depend
        on how much of the signature is right.
        """
        if not token or session_id is None or _form(token) is None:
            return False
        raw = from_base64url(token)
        head, mac = raw[:_HEAD], raw[_HEAD:]
        signed = session_id.encode("utf-8", "surrogatepass") + head
        for key in self._macs:
            if _compare(mac, key.sign(signed)):
                return self._clock() < int.from_bytes(head[_NONCE:], "big")
        return False

    def is_current(self, token: str | None) -> bool:
        """Whether it has the form of a token that has not expired. It may be forged: use this for log lines only."""
        if not token or _form(token) is None:
            return False
        return self._clock() < int.from_bytes(from_base64url(token)[_NONCE:_HEAD], "big")

    def __repr__(self) -> str:
        return f"<Tokens lifetime={self.lifetime}>"
