"""Closes connections at a logout, at a change of the password, and when a user is deactivated or deleted."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.db.models.signals import post_delete, post_save

from odac.close_codes import CloseCode
from odac.contrib.django.application import broker_url, running
from odac.contrib.django.publishing import publisher

__all__ = ["connect"]


def connect() -> None:
    """Connect the signals; called once Django's apps are ready."""
    user_logged_out.connect(on_logout, dispatch_uid="odac.logout")
    post_save.connect(on_save, sender=settings.AUTH_USER_MODEL, dispatch_uid="odac.user.save")
    post_delete.connect(on_delete, sender=settings.AUTH_USER_MODEL, dispatch_uid="odac.user.delete")


def on_logout(sender: Any, request: Any, user: Any, **_: Any) -> None:
    """Close the connections of this browser, not those of the user's other devices."""
    if request is not None and hasattr(request, "session"):
        _close(lambda: publisher.session(request).close(CloseCode.UNAUTHORIZED, "Logged out"))


def on_save(sender: Any, instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """Have all clients of a user reconnect after the password was changed or the user was deactivated.

    Those whose session is still valid are accepted, and the others refused.
    """
    if created or raw:
        return
    # set_password() stores the new password in this attribute, and save() clears it after this signal.
    if getattr(instance, "_password", None) is not None or not getattr(instance, "is_active", True):
        _close(lambda: publisher.user(instance.pk).close(CloseCode.SERVICE_RESTART, "Log in again"))


def on_delete(sender: Any, instance: Any, **_: Any) -> None:
    """Close all connections of a user who is deleted."""
    if instance.pk is not None:
        _close(lambda: publisher.user(instance.pk).close(CloseCode.UNAUTHORIZED, "Logged out"))


def _close(close: Any) -> None:
    # Without a broker, another process, such as a management command, cannot reach the app.
    if running() is not None or broker_url() is not None:
        close()
