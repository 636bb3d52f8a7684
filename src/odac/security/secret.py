"""The secret that signs sessions and tokens, and the keys derived from it."""

from __future__ import annotations

import functools
import hmac
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from odac.errors import ConfigurationError

__all__ = ["SHORTEST", "WORKERS_VARIABLE", "Secret", "Secrets", "environment_secrets"]

Secret = str | bytes | Sequence[str | bytes] | None
"""One secret, several (the first signs, all verify), or None for ``$ODAC_SECRET``."""

SHORTEST: Final = 16
"""The least bytes of a secret: a shorter one could be guessed offline from one signed cookie."""

WORKERS_VARIABLE: Final = "ODAC_WORKERS_SECRET"
"""The environment variable by which ``odac run`` passes a shared random secret to its workers. It is not
``ODAC_SECRET``, which apps and :class:`odac.contrib.django.DjangoOdac` read as the user's own.
"""

_ADVISED: Final = 32
_HOW: Final = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'

_log = logging.getLogger(__name__)


class Secrets:
    """The app's secrets, newest first. Its ``repr`` shows none of them.

    Args:
        secret: one secret, or several for a rotation: the first signs, all verify. None takes ``$ODAC_SECRET``
            (several separated by commas); if that is not set either, a random one is generated and a warning is logged:
            then every session ends with the process, and other processes do not accept it. The workers of one
            ``odac run`` share a random one.
        environ: the environment with ``ODAC_SECRET`` and :data:`WORKERS_VARIABLE`.

    Attributes:
        is_random: whether the secret was generated, so that it is lost when the server stops.

    Raises:
        ConfigurationError: a secret is empty, shorter than 16 bytes, or neither ``str`` nor ``bytes``.
    """

    __slots__ = ("_secrets", "is_random")

    def __init__(self, secret: Secret = None, *, environ: Mapping[str, str] = os.environ) -> None:
        source = "secret="
        if secret is None:
            source = "$ODAC_SECRET"
            secret = environment_secrets(environ) or None
        self.is_random = secret is None
        if secret is None:
            secret = environ.get(WORKERS_VARIABLE) or _random_secret()
        given = list(secret) if isinstance(secret, (list, tuple)) else [secret]
        self._secrets = tuple(_checked(each, source) for each in given)
        if not self._secrets:
            raise ConfigurationError(f"{source} is an empty list: give at least one secret; {_HOW}")

    def keys(self, purpose: str) -> tuple[bytes, ...]:
        """The 32-byte keys for one purpose, the signing one first.

        Each purpose has its own, derived as HMAC-SHA256(secret, label), so that nothing signed for one purpose is ever
        valid for another.
        """
        label = b"odac " + purpose.encode()
        return tuple(hmac.digest(secret, label, "sha256") for secret in self._secrets)

    def __repr__(self) -> str:
        return f"<Secrets: {len(self._secrets)}>"


def environment_secrets(environ: Mapping[str, str]) -> list[str]:
    """The secrets in ``$ODAC_SECRET``, the signing one first; none where it is unset or blank."""
    return [part for part in map(str.strip, environ.get("ODAC_SECRET", "").split(",")) if part]


def _checked(secret: object, source: str) -> bytes:
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogateescape")
    if callable(secret):
        raise ConfigurationError(f"{source}: {type(secret).__name__} is no secret; an app to wrap is given as http=")
    if not isinstance(secret, (bytes, bytearray)):
        raise ConfigurationError(f"{source}: a secret is str or bytes, not {type(secret).__name__}; {_HOW}")
    if len(secret) < SHORTEST:
        raise ConfigurationError(f"{source} has {len(secret)} bytes, and fewer than {SHORTEST} can be guessed; {_HOW}")
    if len(secret) < _ADVISED:
        _log.warning("%s has %d bytes; %d random ones are advised: %s", source, len(secret), _ADVISED, _HOW)
    return bytes(secret)


@functools.cache  # one for each process, so that several apps in it accept each other's session cookies
def _random_secret() -> bytes:
    _log.warning(
        "No secret is set: sessions and tokens are signed with a random one, end with this process and are not valid "
        "in any other. Set $ODAC_SECRET or Odac(secret=…); %s",
        _HOW,
    )
    return secrets.token_bytes(_ADVISED)
