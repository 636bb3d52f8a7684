"""HTTP requests to the app from synchronous tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from odac.testing.exchange import HttpClient, RequestOptions, Response
from odac.testing.loop_runner import LoopRunner

__all__ = ["SyncHttpClient"]


class SyncHttpClient:
    """HTTP requests from a synchronous test; see :class:`HttpClient`."""

    def __init__(self, client: HttpClient, run: LoopRunner) -> None:
        self._client = client
        self._run = run

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a request; see :meth:`HttpClient.request`."""
        return self._run(self._client.request(method, url, **options))

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """``GET``."""
        return self.request("GET", url, headers=headers)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """``POST``; with headers and a body as for :meth:`HttpClient.request`."""
        return self.request("POST", url, **options)
