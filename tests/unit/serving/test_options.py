from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import odac.server
from odac.errors import ConfigurationError
from odac.serving.options import RunOptions, ServeOptions


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"port": -1}, "a port is a number from 1 to 65535"),
        ({"workers": 0}, "at least 1"),
        ({"log_level": "loud"}, "one of critical, error"),
        ({"ssl_keyfile": "key.pem"}, "needs ssl_certfile"),
        ({"forwarded_allow_ips": "10.0.0.2"}, "no effect without proxy_headers"),
        ({"proxy_headers": True, "forwarded": True}, "proxy_headers and forwarded: choose the one way"),
        ({"proxy_headers": True, "proxy_protocol": True}, "choose the one way"),
        ({"behind_tls": True, "proxy_headers": True}, "those that proxy_headers trusts would be the client's own"),
        ({"behind_tls": True, "forwarded": True}, "those that forwarded trusts"),
        ({"behind_tls": True, "ssl_certfile": "a.pem"}, "leave ssl_certfile out"),
        ({"proxy_protocol": True, "ssl_certfile": "a.pem"}, "comes in front of TLS"),
        ({"proxy_protocol": True, "forwarded_allow_ips": "proxy"}, "'proxy' is neither an address nor a network"),
        (
            {"forwarded_allow_ips": "10.0.0.2,proxy", "proxy_headers": True},
            "'proxy' is neither an address nor a network",
        ),
        ({"reload_dirs": (".",)}, "no effect without reload"),
        ({"reload": True, "preload": True}, "choose one"),
        ({"reload_dirs": ("nowhere at all",), "reload": True}, "no folder 'nowhere at all'"),
        ({"root_path": "chat"}, "beginning with a slash"),
        ({"root_path": "/chat/"}, "not ending with one"),
    ],
)
def test_what_cannot_be_or_has_no_effect_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ServeOptions(**options)


def test_what_can_be_is_taken(tmp_path: Path) -> None:
    ServeOptions(proxy_headers=True, forwarded_allow_ips="10.0.0.2, 10.0.0.0/8, ::1")
    ServeOptions(proxy_headers=True, forwarded_allow_ips="*", root_path="/chat")
    ServeOptions(forwarded=True, forwarded_allow_ips="10.0.0.2")
    ServeOptions(proxy_protocol=True, behind_tls=True, forwarded_allow_ips="10.0.0.2")
    assert ServeOptions(reload=True, reload_dirs=[str(tmp_path)]).reload_dirs == (str(tmp_path),)


def test_the_arguments_of_run_are_the_fields() -> None:
    assert RunOptions.__annotations__.keys() == {each.name for each in fields(ServeOptions)}
    documented = odac.server.run.__doc__ or ""
    assert [name for name in RunOptions.__annotations__ if f"``{name}" not in documented] == []


def test_proxies_of_the_environment_are_looked_at_where_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "proxy")
    ServeOptions()
    ServeOptions(proxy_headers=True, forwarded_allow_ips="10.0.0.2")
    with pytest.raises(ConfigurationError, match=r"\$FORWARDED_ALLOW_IPS: 'proxy'"):
        ServeOptions(proxy_headers=True)


@pytest.mark.parametrize(
    ("options", "supervised"),
    [({}, False), ({"workers": 2}, True), ({"reload": True}, True), ({"preload": True}, True)],
)
def test_workers_and_reload_take_a_supervisor(options: dict[str, Any], supervised: bool) -> None:
    assert ServeOptions(**options).supervised == supervised


def test_the_keys_password_is_not_shown() -> None:
    assert "hunter2" not in repr(ServeOptions(ssl_certfile="a", ssl_keyfile_password="hunter2"))
