from __future__ import annotations

from django.apps import apps
from django.contrib.auth.signals import user_logged_out

from odac.contrib.django.apps import OdacConfig
from odac.contrib.django.signals import on_logout


def test_the_app_connects_the_signals_once_it_is_ready() -> None:
    config = apps.get_app_config("odac")
    assert isinstance(config, OdacConfig)
    assert user_logged_out.disconnect(on_logout, dispatch_uid="odac.logout")
    config.ready()
    config.ready()  # the second time connects nothing twice
    assert user_logged_out.disconnect(on_logout, dispatch_uid="odac.logout")
    assert not user_logged_out.disconnect(on_logout, dispatch_uid="odac.logout")
    config.ready()
