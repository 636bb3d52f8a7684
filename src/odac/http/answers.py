"""Plain-text answers, for people who read them in a terminal or a browser's console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # imported with the first answer: importing Starlette's responses takes longer than all of Odac
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

__all__ = ["explain", "json_answer", "not_found", "upgrade_required", "upgrade_where_missing"]

_PLAIN: Final = {"X-Content-Type-Options": "nosniff"}


def explain(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of one sentence, as plain text."""
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(sentence + "\n", status, {**_PLAIN, **(headers or {})})


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that no cache keeps."""
    from starlette.responses import JSONResponse

    return JSONResponse(content, status, {"Cache-Control": "no-store", **_PLAIN, **(headers or {})})


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an HTTP request with 404."""
    await explain(404, "Nothing is here. The address has no route in this app.")(scope, receive, send)


async def upgrade_required(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer an HTTP request to a WebSocket route with 426 (RFC 9110 section 15.5.22)."""
    headers = {"Cache-Control": "no-store"}
    if scope.get("http_version", "1.1").startswith("1"):  # HTTP/2 forbids both headers (RFC 9113 section 8.2.2)
        headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
    await explain(
        426,
        "This is a WebSocket endpoint, and this was an ordinary HTTP request. Connect with a WebSocket client: "
        "new WebSocket(…) or Odac.ws(…) in a browser, `odac connect URL` in a terminal. Behind a proxy, check that it "
        "passes on the Upgrade and Connection headers.",
        headers,
    )(scope, receive, send)


def upgrade_where_missing(scope: Scope, receive: Receive, send: Send) -> Send:
    """Return a ``send`` for an app that is called first: its 404 is replaced by the 426 of a WebSocket route."""
    missing = False

    async def answer(message: Message) -> None:
        nonlocal missing
        if message["type"] == "http.response.start" and message["status"] == 404:
            missing = True
            await upgrade_required(scope, receive, send)
        elif not missing:
            await send(message)

    return answer
