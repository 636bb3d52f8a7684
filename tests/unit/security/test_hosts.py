from __future__ import annotations

import pytest

from odac.errors import ConfigurationError
from odac.security.hosts import HostPolicy


def refusal(policy: HostPolicy, *hosts: str) -> str | None:
    return policy.refusal({"headers": [(b"host", host.encode()) for host in hosts]})


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("example.com", "example.com"),
        ("Example.COM.", "eXample.com:8443"),
        ("example.com", "example.com."),
        ("example.com", "example.com:"),
        (".example.com", "example.com"),
        (".example.com", "a.b.example.com:80"),
        ("127.0.0.1", "127.0.0.1:8000"),
        ("[::1]", "[0:0::1]:8000"),
        ("::1", "[::1]"),
        ("*", "anything"),
    ],
)
def test_names_of_this_site(entry: str, host: str) -> None:
    assert refusal(HostPolicy(["other.example", entry]), host) is None


@pytest.mark.parametrize(
    ("entry", "host"),
    [
        ("example.com", "evil.example"),
        ("example.com", "a.example.com"),
        ("example.com", "notexample.com"),
        (".example.com", "notexample.com"),
        (".example.com", "example.com.evil.example"),
        ("example.com", "example.com@evil.example"),
        ("example.com", "example.com:80:80"),
        ("example.com", ""),
    ],
)
def test_names_of_others(entry: str, host: str) -> None:
    assert refusal(HostPolicy([entry]), host) is not None


def test_a_refusal_names_the_setting() -> None:
    assert "hosts=['evil.example']" in str(refusal(HostPolicy(["example.com"]), "evil.example:80"))
    assert "2 Host headers" in str(refusal(HostPolicy(["example.com"]), "example.com", "example.com"))
    assert "0 Host headers" in str(refusal(HostPolicy(["example.com"])))


def test_without_hosts_every_name_is_let_in() -> None:
    assert refusal(HostPolicy()) is None
    assert refusal(HostPolicy(["*"]), "evil.example") is None


@pytest.mark.parametrize(
    ("hosts", "fix"),
    [
        ("example.com", r"\['example.com'\]"),
        ([], "leave it out"),
        ([7], "a str"),
        (["https://example.com/"], "write 'example.com'"),
        (["example.com:80"], "write 'example.com'"),
        (["*.example.com"], "write '.example.com'"),
        (["exämple.com"], "xn--"),
        (["a b"], "not a host name"),
    ],
)
def test_what_is_no_host_is_refused_with_the_fix(hosts: list[str], fix: str) -> None:
    with pytest.raises(ConfigurationError, match=fix):
        HostPolicy(hosts)
