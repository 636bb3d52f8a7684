from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.client.cookies import CookieJar


def jar(*set_cookie: str, path: str = "/odac/token") -> CookieJar:
    result = CookieJar()
    result.store(set_cookie, path)
    return result


def test_a_session_cookie_goes_back() -> None:
    assert jar("odac_session=abc.def; HttpOnly; Path=/; SameSite=Lax").header("/chat") == "odac_session=abc.def"
    assert jar("__Host-odac=abc; HttpOnly; Path=/; SameSite=Lax; Secure").header("/chat") == "__Host-odac=abc"


def test_nothing_to_send() -> None:
    assert CookieJar().header("/") is None


def test_a_later_value_replaces_an_earlier_one() -> None:
    assert jar("a=1; Path=/", "a=2; Path=/").for_path("/") == {"a": "2"}


@pytest.mark.parametrize(
    "attributes",
    ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT", "expires=Thu, 01-Jan-1970 00:00:00 GMT"],
)
def test_a_cookie_can_be_taken_back(attributes: str) -> None:
    cookies = jar("a=1; Path=/", "b=1; Path=/")
    cookies.store([f"a=; Path=/; {attributes}"])
    assert cookies.for_path("/") == {"b": "1"}


def test_max_age_outweighs_expires() -> None:
    assert jar("a=1; Path=/; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT").for_path("/") == {"a": "1"}


@pytest.mark.parametrize(
    ("cookie", "path", "sent"),
    [
        ("/", "/chat", True),
        ("/chat", "/chat", True),
        ("/chat", "/chat/room", True),
        ("/chat/", "/chat/room", True),
        ("/chat", "/chats", False),
        ("/chat/", "/chat", False),
        ("/admin", "/chat", False),
    ],
)
def test_the_path_decides_where_it_goes(cookie: str, path: str, sent: bool) -> None:
    assert (jar(f"a=1; Path={cookie}").header(path) is not None) == sent


def test_the_default_path_is_the_folder_of_the_request() -> None:
    cookies = jar("a=1", path="/odac/token")
    assert cookies.header("/odac/other") == "a=1"
    assert cookies.header("/chat") is None
    assert jar("a=1", path="/token").header("/chat") == "a=1"
    assert jar("a=1; Path=relative", path="/token").header("/chat") == "a=1"


def test_the_longer_path_wins() -> None:
    assert jar("a=short; Path=/", "a=long; Path=/chat").for_path("/chat") == {"a": "long"}
    assert jar("a=long; Path=/chat", "a=short; Path=/").for_path("/chat") == {"a": "long"}


@pytest.mark.parametrize(
    "header", ["", "novalue", "=1", "a b=1", "a=1\r\nX: y", "a=caf\xe9", "a=x y", 'a="', "; Path=/"]
)
def test_what_is_no_cookie_is_ignored(header: str) -> None:
    assert jar(header).header("/") is None


@given(st.text())
def test_whatever_a_server_sets_makes_one_header_line(header: str) -> None:
    value = jar(header, path="/").header("/")
    assert value is None or (value.isascii() and value.isprintable())


def test_the_jar_is_bounded() -> None:
    cookies = jar(*(f"c{number}=1; Path=/" for number in range(1000)))
    assert list(cookies.for_path("/")) == [f"c{number}" for number in range(950, 1000)]


def test_what_one_starts_with_must_fit_a_header() -> None:
    assert CookieJar({"a": "1"}).header("/anything") == "a=1"
    for name, value in [("a b", "1"), ("a", "1;2"), ("a", "1\r\n"), ("", "1")]:
        with pytest.raises(ValueError, match="cookie"):
            CookieJar({name: value})
    for cookies in ({"a": 1}, "a=1"):
        with pytest.raises(TypeError, match=r"cookies: .*must be a"):
            CookieJar(cookies)  # type: ignore[arg-type]


def test_a_copy_is_its_own() -> None:
    cookies = jar("a=1; Path=/")
    other = cookies.copy()
    other.store(["a=2; Path=/"])
    assert cookies.for_path("/") == {"a": "1"}
    assert other.for_path("/") == {"a": "2"}
