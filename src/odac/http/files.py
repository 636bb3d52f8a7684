"""The browser client's files, from the package."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from odac.http.answers import explain

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.responses import Response

__all__ = ["FILES", "ClientFiles"]

_SCRIPT: Final = "text/javascript; charset=utf-8"
_MAP: Final = "application/json"

FILES: Final = {
    "odac.js": _SCRIPT,
    "odac.js.map": _MAP,
    "odac.mjs": _SCRIPT,
    "odac.mjs.map": _MAP,
    "odac-shared.mjs": _SCRIPT,
    "odac-shared.mjs.map": _MAP,
    "odac-worker.js": _SCRIPT,
    "odac-worker.js.map": _MAP,
    "odac.d.ts": "application/typescript; charset=utf-8",
}
"""All files that can be served, with content types."""

_CACHE: Final = "public, max-age=300"
"""Five minutes: pages do not wait for the script, and an upgrade reaches all browsers soon. Then a 304 by ETag."""


class _File(NamedTuple):
    body: bytes
    etag: str


class ClientFiles:
    """Reads each file once and answers requests for it."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read: dict[str, _File] = {}

    def answer(self, name: str, headers: Headers) -> Response:
        """200 with the file, 304 if the client has it, 404 if this installation lacks it.

        Args:
            name: one of :data:`FILES`.
            headers: the request's.
        """
        file = self._read.get(name) or self._load(name)
        if file is None:
            return explain(404, f"{name} is not part of this installation: `make build` builds the browser client.")
        from starlette.responses import Response

        kept = {"ETag": file.etag, "Cache-Control": _CACHE, "X-Content-Type-Options": "nosniff"}
        if _matches(headers.get("if-none-match", ""), file.etag):
            return Response(status_code=304, headers=kept)
        return Response(file.body, headers=kept, media_type=FILES[name])

    def _load(self, name: str) -> _File | None:
        from importlib import resources

        try:
            body = (resources.files("odac") / "static" / name).read_bytes()
        except FileNotFoundError:
            return None
        file = self._read[name] = _File(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        return file


def _matches(condition: str, etag: str) -> bool:
    """Whether If-None-Match names the tag, in the weak comparison (RFC 9110 section 13.1.2)."""
    return condition.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in condition.split(","))
