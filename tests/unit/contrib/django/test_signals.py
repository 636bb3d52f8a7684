from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete, post_save
from django.test import RequestFactory

from odac.close_codes import CloseCode
from odac.testing import TestClient


def logged_out(user: Any, session: str) -> None:
    request: Any = RequestFactory().get("/")
    request.COOKIES["sessionid"] = session
    request.session = SimpleNamespace(session_key=session)
    user_logged_out.send(sender=User, request=request, user=user)


def deactivated(user: Any, session: str) -> None:
    user.is_active = False
    post_save.send(sender=User, instance=user, created=False, raw=False)


def with_another_password(user: Any, session: str) -> None:
    user.set_password("another")
    post_save.send(sender=User, instance=user, created=False, raw=False)


def deleted(user: Any, session: str) -> None:
    post_delete.send(sender=User, instance=user)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (logged_out, CloseCode.UNAUTHORIZED),
        (deactivated, CloseCode.SERVICE_RESTART),
        (with_another_password, CloseCode.SERVICE_RESTART),
        (deleted, CloseCode.UNAUTHORIZED),
    ],
)
def test_what_ends_a_login_closes_the_users_connections(
    client: TestClient, session: str, user: Any, change: Callable[[Any, str], None], code: int
) -> None:
    with (
        client.connect("/me", token=False, headers={"Cookie": f"sessionid={session}"}) as ada,
        client.connect("/me", token=False) as other,
    ):
        assert (ada.receive(), other.receive()) == ("Ada", None)
        change(user, session)
        closed = ada.wait_closed()
        assert closed is not None
        assert closed[0] == code
        assert other.received_nothing()


def test_what_changes_nothing_about_the_login_closes_nothing(client: TestClient, session: str, user: Any) -> None:
    with client.connect("/me", token=False, headers={"Cookie": f"sessionid={session}"}) as ada:
        assert ada.receive() == "Ada"
        post_save.send(sender=User, instance=user, created=False, raw=False)
        user.is_active = False
        post_save.send(sender=User, instance=user, created=True, raw=False)
        post_save.send(sender=User, instance=user, created=False, raw=True)
        user_logged_out.send(sender=User, request=None, user=user)
        assert ada.received_nothing()


@pytest.mark.parametrize("change", [logged_out, deactivated, deleted])
def test_a_management_command_without_a_broker_reaches_nobody_and_says_nothing(
    user: Any,
    change: Callable[[Any, str], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("ODAC_BROKER", raising=False)
    change(user, "any")
    assert caplog.text == ""
