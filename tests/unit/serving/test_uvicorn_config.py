from __future__ import annotations

from typing import Any

import pytest

from odac.config import Limits
from odac.serving.options import ServeOptions
from odac.serving.protocols.http import HttpProtocol
from odac.serving.protocols.proxy_protocol import ProxiedProtocol
from odac.serving.uvicorn_config import UvicornConfig
from tests.unit.realtime.realtime_fakes import run


def seen_by_app(options: ServeOptions, *headers: tuple[bytes, bytes], peer: str = "10.0.0.1") -> tuple[Any, Any]:
    """Client and scheme in the scope that an app gets."""
    seen: list[tuple[Any, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["client"][0], scope["scheme"]))

    config = UvicornConfig(app, options, Limits())
    config.load()
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": list(headers)}
    run(config.loaded_app(scope, None, None))
    return seen[0]


X_FORWARDED = ((b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-proto", b"https"))
FORWARDED = (b"forwarded", b"for=2.2.2.2;proto=https")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("10.0.0.1", "http")),
        ({"proxy_headers": True}, ("1.1.1.1", "https")),
        ({"forwarded": True}, ("2.2.2.2", "https")),
        ({"proxy_protocol": True}, ("10.0.0.1", "http")),
        ({"behind_tls": True}, ("10.0.0.1", "https")),
        ({"behind_tls": True, "proxy_protocol": True}, ("10.0.0.1", "https")),
    ],
)
def test_one_way_to_name_the_client_is_believed_and_no_other(options: Any, expected: Any) -> None:
    trusted: Any = {} if set(options) <= {"behind_tls"} else {"forwarded_allow_ips": "10.0.0.1"}
    assert seen_by_app(ServeOptions(**options, **trusted), *X_FORWARDED, FORWARDED) == expected


@pytest.mark.parametrize("option", ["proxy_headers", "forwarded"])
def test_the_environment_names_proxies_too(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ServeOptions(**{option: True})  # type: ignore[arg-type]
    assert seen_by_app(options, *X_FORWARDED, FORWARDED) == ("10.0.0.1", "http")
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.0/8")
    assert seen_by_app(options, *X_FORWARDED, FORWARDED)[1] == "https"


def test_the_protocol_classes_have_the_limits_of_the_app() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    limits = Limits(max_payload=1000, ping_interval=7)
    config = UvicornConfig(app, ServeOptions(root_path="/live"), limits)
    config.load()
    http: Any = config.http_protocol_class
    assert issubclass(http, HttpProtocol)
    assert not issubclass(http, ProxiedProtocol)
    assert http.limits is limits
    assert HttpProtocol.limits is not limits
    assert (config.ws_max_size, config.ws_ping_interval, config.root_path) == (1000, 7, "/live")
    assert config.proxies is None
    proxied = UvicornConfig(app, ServeOptions(proxy_protocol=True, forwarded_allow_ips="10.0.0.0/8"), limits)
    proxied.load()
    assert issubclass(proxied.http_protocol_class, ProxiedProtocol)
    assert proxied.proxies is not None
    assert "10.1.2.3" in proxied.proxies
    assert "11.1.2.3" not in proxied.proxies
