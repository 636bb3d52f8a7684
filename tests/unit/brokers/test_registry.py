from __future__ import annotations

import sys

import pytest

from odac.brokers.memory import MemoryBroker
from odac.brokers.registry import make_broker
from odac.errors import ConfigurationError


@pytest.mark.parametrize("url", ["amqp://h", "kafka://h", "http://h", "unix:///x"])
def test_an_unknown_scheme_names_the_known_ones(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis://.*nats://"):
        make_broker(url)


@pytest.mark.parametrize(
    ("url", "library", "module", "extra"),
    [
        ("redis://h", "redis", "odac.brokers.redis", "odac[redis]"),
        ("redis+cluster://h", "redis", "odac.brokers.redis_cluster", "odac[redis]"),
        ("nats://h", "nats", "odac.brokers.nats", "odac[nats]"),
        ("local:///x", "zmq", "odac.brokers.local", "odac[local]"),
    ],
)
def test_a_missing_library_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, url: str, library: str, module: str, extra: str
) -> None:
    for name in list(sys.modules):
        if name == library or name.startswith(
            (f"{library}.", "odac.brokers.redis", "odac.brokers.nats", "odac.brokers.local")
        ):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError) as caught:
        make_broker(url)
    assert f'pip install "{extra}"' in str(caught.value)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("redis://u:geheim@h?colour=red", "colour"),
        ("redis://h?protocol=3", "protocol"),
        ("redis+cluster://u:geheim@h/3", "database"),
        ("nats://u:geheim@h?x=1", "no option x; there are namespace, tls_ca"),
        ("nats://u:geheim@h/3", "no path"),
        ("tls://u:geheim@h?tls_ca=/nowhere/ca.pem", "tls_ca= .* '/nowhere/ca.pem', which is not a file"),
        (f"nats://u:geheim@h?tls_ca={__file__}", "write tls://"),
        (f"tls://u:geheim@h?tls_key={__file__}", "tls_cert="),
        (f"tls://u:geheim@h?tls_ca={__file__}", "cannot use tls_ca"),
        ("nats://u:geheim@h,v:geheim@i", "one user and password"),
    ],
)
def test_an_option_that_cannot_be_is_found_at_once(url: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as caught:
        make_broker(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("option", ["credentials", "nkey"])
def test_signing_needs_a_library_and_says_which(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odac.brokers.nats.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'nats-py\[nkeys\]'"):
        make_broker(f"nats://h?{option}={__file__}")


@pytest.mark.parametrize("scheme", ["redis+sentinel", "rediss+sentinel", "redis-sentinel", "sentinel"])
def test_sentinel_is_refused_with_what_to_do(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match=r"Redis Sentinel is not supported.*redis\+cluster://") as caught:
        make_broker(f"{scheme}://:geheim@h1:26379,h2:26379/mymaster")
    assert "geheim" not in str(caught.value)


def test_local_without_a_server_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODAC_LOCAL_DIRECTORY", raising=False)
    with pytest.raises(ConfigurationError, match="odac run --workers"):
        make_broker("local://")


def test_a_worker_finds_the_servers_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODAC_LOCAL_DIRECTORY", "/run/somewhere")
    assert make_broker("local://").address == "local:///run/somewhere"


def test_a_name_of_memory_is_what_the_apps_of_one_process_share() -> None:
    assert isinstance(make_broker("memory://name"), MemoryBroker)
    assert make_broker("memory://name").address == "memory://name"
    assert make_broker("memory://").address != make_broker("memory://").address
