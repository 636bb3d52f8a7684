from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache

from odac.contrib.django.authentication import authenticator, http_request, login_name
from odac.errors import ConfigurationError
from odac.request import Request
from odac.testing import TestClient


def test_the_user_of_the_session_is_the_connections(client: TestClient, session: str) -> None:
    with client.connect("/me", token=False, headers={"Cookie": f"sessionid={session}"}) as ws:
        assert ws.receive() == "Ada"
    for cookie in ("sessionid=unknown", "other=1"):
        with client.connect("/me", token=False, headers={"Cookie": cookie}) as ws:
            assert ws.receive() is None


def test_another_password_invalidates_an_old_session(client: TestClient, session: str, user: Any) -> None:
    user.set_password("another")
    with client.connect("/me", token=False, headers={"Cookie": f"sessionid={session}"}) as ws:
        assert ws.receive() is None
    assert len(cache._cache) == 1, "the session is read and never written"


def test_the_handshake_as_djangos_request() -> None:
    headers = [(b"cookie", b"a=1"), (b"x-trace-id", b"7")]
    request = http_request(Request({"type": "websocket", "path": "/me", "headers": headers, "client": ("1.2.3.4", 5)}))
    assert (request.method, request.path, request.COOKIES) == ("GET", "/me", {"a": "1"})
    assert (request.META["HTTP_X_TRACE_ID"], request.META["REMOTE_ADDR"]) == ("7", "1.2.3.4")


def test_a_sessions_name_does_not_give_the_session_away() -> None:
    assert login_name("key") == login_name("key") != login_name("kez")
    assert "key" not in login_name("key")


@pytest.mark.parametrize(
    "rest_framework", ["rest_framework.authentication.TokenAuthentication", ["Token"], [object()], int, 7]
)
def test_authentication_classes_are_a_list_of_classes(rest_framework: Any) -> None:
    authenticator([int])
    with pytest.raises(ConfigurationError, match=r"DjangoOdac\(rest_framework=.*must be a list of classes"):
        authenticator(rest_framework)
