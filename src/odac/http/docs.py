"""The docs page: the messages that the app's routes receive and send, and a console to try them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from odac.http.answers import explain, json_answer

if TYPE_CHECKING:
    from starlette.responses import Response

    from odac.request import Request

__all__ = ["DOCS", "DocsPage"]

DOCS: Final = {
    "docs": ("docs.html", "text/html; charset=utf-8"),
    "docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "docs.css": ("docs.css", "text/css; charset=utf-8"),
    "docs.json": ("", ""),
}
"""The files of the page: for each name below the prefix, the file and the content type."""

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DocsPage:
    """Answers requests for the page.

    Args:
        facts: returns the contents of the page; called for each request, because routes may be added.
        check: whether a request may see it: True, False, or a function of the request that may be ``async``.
    """

    __slots__ = ("_check", "_facts")

    def __init__(self, facts: Callable[[], Any], check: bool | Callable[[Request], Any]) -> None:
        self._facts = facts
        self._check = check

    async def is_shown(self, request: Request) -> bool:
        """Whether a request may see the page; one that may not must not learn that there is a page."""
        allowed = self._check(request) if callable(self._check) else self._check
        if inspect.isawaitable(allowed):
            allowed = await allowed
        return bool(allowed)

    def answer(self, name: str) -> Response:
        """The answer to a request that may see the page.

        Args:
            name: one of :data:`DOCS`.
        """
        if name == "docs.json":
            return json_answer(self._facts())
        from importlib import resources

        from starlette.responses import Response

        file, kind = DOCS[name]
        try:
            body = (resources.files("odac") / "contract" / "static" / file).read_bytes()
        except FileNotFoundError:
            return explain(404, f"{file} is not part of this installation.")
        headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(body, headers=headers, media_type=kind)
