from __future__ import annotations

import pytest

from odac.brokers.url import parse_url
from odac.errors import ConfigurationError

SECRET = "geheim"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://", ("memory", "memory://", "memory://", "", "odac")),
        ("memory://shared", ("memory", "memory://shared", "memory://shared", "", "odac")),
        ("local:///run/app", ("local", "local:///run/app", "local:///run/app", "/run/app", "odac")),
        ("REDIS://h:1/2?namespace=shop", ("redis", "redis://h:1/2", "redis://h:1/2", "/2", "shop")),
        (f"redis://u:{SECRET}@h/0?a=1", ("redis", f"redis://u:{SECRET}@h/0?a=1", "redis://h/0", "/0", "odac")),
        ("nats://a:1,nats://b:2", ("nats", "nats://a:1,b:2", "nats://a:1,b:2", "", "odac")),
        ("redis://[::1]:6379", ("redis", "redis://[::1]:6379", "redis://[::1]:6379", "", "odac")),
    ],
)
def test_parts(url: str, expected: tuple[str, ...]) -> None:
    assert tuple(parse_url(url)) == (*expected, "")


def test_what_is_said_of_the_server_does_not_reach_the_client_library() -> None:
    parsed = parse_url("redis://h/0?history=durable&a=1")
    assert parsed.history == "durable"
    assert parsed.url == "redis://h/0?a=1"


@pytest.mark.parametrize("url", ["redis://h?history=yes", "nats://h?history=durable", "local://a?history=durable"])
def test_only_redis_can_be_said_to_be_durable(url: str) -> None:
    with pytest.raises(ConfigurationError, match="only value is durable, for Redis"):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://u:{SECRET}@h:6379/0",
        f"redis://:{SECRET},with,commas@h:6379",
        f"nats://a:{SECRET}@h1,b:{SECRET}@h2:4222",
        f"redis://h:6379?password={SECRET}",
        f"redis://:p%40{SECRET}@h",
    ],
)
def test_an_address_shows_no_password(url: str) -> None:
    parsed = parse_url(url)
    assert SECRET not in parsed.address
    assert SECRET in parsed.url


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        (SECRET, "no scheme"),
        (f"://{SECRET}", "no scheme"),
        (f"redis://:pa/{SECRET}@h", "%2F"),
        (f"redis://:pa#{SECRET}@h", "%23"),
        (f"redis://:pa?{SECRET}@h", "%3F"),
        (f"redis://user:{SECRET}", "host:port"),
        (f"redis://[{SECRET}", "brackets"),
    ],
)
def test_an_error_names_the_fix_and_shows_no_password(url: str, fix: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_url(url)
    assert fix in str(caught.value)
    assert SECRET not in str(caught.value)
