"""``odac publish``: one message, through the broker or through the app's own endpoint."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final

import msgspec

from odac.errors import BrokerError, ConfigurationError
from odac.notices import harmless
from odac.publishing.publisher import Publisher

__all__ = ["publish"]

ACCEPTED: Final = 202
"""The endpoint's answer to a message that it has accepted (RFC 9110 section 15.3.3)."""


def publish(url: str, room: str | None, text: str, *, key: str | None = None, timeout: float = 5.0) -> None:
    """Send JSON to a room, or to all clients.

    Args:
        url: the URL of the broker, or of the endpoint ``POST {prefix}/publish``.
        room: the room; None for all clients.
        text: JSON.
        key: a bearer key, for the endpoint.
        timeout: seconds to wait for the broker or the endpoint.

    Raises:
        ValueError: the text is not JSON, or the room's name is not allowed.
        ConfigurationError: the URL is not that of a broker, its client library is missing, or the endpoint refuses the
            key.
        BrokerError: it cannot be reached, or did not accept the message.
    """
    try:
        data = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{_shortened(text)} is not JSON ({error}); text needs quotes of its own, such as '\"hello\"'"
        ) from None
    if url.startswith(("http://", "https://")):
        _post(url, {"data": data, **({"broadcast": True} if room is None else {"room": room})}, key, timeout)
        return
    with Publisher(url, timeout=timeout) as publisher:
        if room is None:
            publisher.broadcast(data)
        else:
            publisher.to_room(room, data)


def _post(url: str, content: dict[str, Any], key: str | None, timeout: float) -> None:
    if not key:
        raise ConfigurationError(f"{url} needs one of the app's publish keys: give it with --key or $ODAC_PUBLISH_KEY")
    request = urllib.request.Request(  # noqa: S310 - http and https only, see above
        url,
        json.dumps(content).encode(),
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        with _opener.open(request, timeout=timeout) as answer:
            if answer.status != ACCEPTED:
                raise BrokerError(
                    f"{url} answered {answer.status}, and the publish endpoint answers {ACCEPTED}: is this the app's"
                    " address?"
                )
    except urllib.error.HTTPError as error:
        with error:
            said = harmless(error.read(500).decode(errors="replace").strip())
        if 300 <= error.code < 400:
            to = harmless(error.headers.get("Location", "elsewhere")[:200])
            raise ConfigurationError(
                f"{url} answered {error.code}, a redirect to {to}: use that address if it is the app's. Redirects"
                " are not followed, because the key would be sent there"
            ) from None
        if error.code == 404:
            raise ConfigurationError(
                f"{url} was not found (404): the app has no publish key, or another prefix"
            ) from None
        raise BrokerError(f"{url} answered {error.code}: {said}") from None
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        reason = harmless(str(getattr(reason, "strerror", None) or reason))
        raise BrokerError(f"{url} cannot be reached: {reason}") from None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error: urllib would send the Authorization header to its target."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        """See the base class."""


_opener = urllib.request.build_opener(_NoRedirects)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
