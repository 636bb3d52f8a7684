"""HTTP requests to the app from synchronous tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odac.testing.exchange import HttpClient, Response
from odac.testing.turner import Turner

__all__ = ["SyncHttpClient"]


class SyncHttpClient:
    """HTTP requests from a synchronous test; see :class:`HttpClient`."""

    def __init__(self, client: HttpClient, turn: Turner) -> None:
        self._client = client
        self._turn = turn

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """Ask once; redirects are not followed."""
        return self._turn(self._client.request(method, url, headers=headers, json=json, form=form, content=content))

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """``GET``."""
        return self.request("GET", url, headers=headers)

    def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        """``POST``."""
        return self.request("POST", url, headers=headers, json=json, form=form, content=content)
