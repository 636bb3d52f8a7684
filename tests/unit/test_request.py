from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odac.request import Request, add_cookies, route_path, with_lower_names, with_whole_path


def request(*headers: tuple[bytes, bytes], **scope: Any) -> Request:
    return Request({"type": "websocket", "path": "/room/7", "query_string": b"", "headers": list(headers), **scope})


def test_path_parameters_are_in_data_url() -> None:
    assert request(path_params={"id": 7}).data.url["id"] == 7
    assert dict(request().data.url) == {}
    with pytest.raises(KeyError):
        request().data.url["id"]


def test_headers_are_found_in_any_case() -> None:
    made = request((b"x-tag", b"one"), (b"x-tag", b"two"), (b"x-latin", b"caf\xe9"))
    assert made.headers["X-Tag"] == made.header("X-TAG") == "one"
    assert made.headers.getlist("x-tag") == ["one", "two"]
    assert made.header("x-latin") == "café"
    assert made.header("x-none") is None
    assert made.header("x-none", "else") == "else"
    assert made.header("ü") is None


def test_cookies_by_name() -> None:
    made = request((b"cookie", b"a=1; b=two words ; c"), (b"cookie", b'd="q\\"uoted\\054"; e==x='))
    assert dict(made.cookies) == {"a": "1", "b": "two words", "": "c", "d": 'q"uoted,', "e": "=x="}
    assert made.cookie("a") == "1"
    assert made.cookie("none") is None
    assert made.cookie("none", "else") == "else"
    assert dict(request().cookies) == {}


def test_only_space_and_tab_are_stripped_from_cookies() -> None:
    """Python strips more, and UTF-8 has bytes that read as latin-1 are among that."""
    value = "naïve\u0085 à".encode()
    assert request((b"cookie", b"a= " + value + b"\t;b=1")).cookie("a") == value.decode("latin-1")


def test_the_last_cookie_of_a_name_counts() -> None:
    assert request((b"cookie", b"a=1; a=2")).cookie("a") == "2"


def test_query_parameters() -> None:
    made = request(query_string=b"tag=a&tag=b%20c&empty=&caf%C3%A9=1")
    assert made.query["tag"] == "b c"
    assert made.query.getlist("tag") == ["a", "b c"]
    assert made.query["empty"] == ""
    assert made.query["café"] == "1"
    assert made.query.get("none") is None


def test_the_path_is_the_one_that_was_asked_for() -> None:
    assert request().path == "/room/7"
    assert request(path="/rt/room/7", root_path="/rt").path == "/rt/room/7"


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"x-real-ip", b"forwarded", b"cf-connecting-ip"])
def test_the_address_is_the_servers_and_never_a_headers(header: bytes) -> None:
    assert request((header, b"6.6.6.6"), client=("192.0.2.1", 5000)).ip == "192.0.2.1"
    assert request((header, b"for=6.6.6.6"), client=None).ip is None
    assert request((header, b"6.6.6.6")).ip is None


@pytest.mark.parametrize(
    ("scheme", "secure"), [("ws", False), ("http", False), ("wss", True), ("https", True), (None, False)]
)
def test_secure_follows_the_scheme_and_never_a_header(scheme: str | None, secure: bool) -> None:
    assert request((b"x-forwarded-proto", b"https"), scheme=scheme).secure is secure


def test_each_part_is_read_once() -> None:
    made = request((b"cookie", b"a=1"), query_string=b"a=1", path_params={"id": 1})
    assert made.cookies is made.cookies
    assert made.headers is made.headers
    assert made.query is made.query
    assert made.data is made.data


def test_the_repr_has_nothing_secret() -> None:
    made = request((b"cookie", b"odac=hunter2"), query_string=b"key=hunter2", client=("192.0.2.1", 5000))
    assert repr(made) == "<Request '/room/7' from 192.0.2.1>"


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(junk: bytes) -> None:
    made = request((b"cookie", junk), (b"host", junk), (b"x-any", junk), query_string=junk)
    assert all(isinstance(value, str) for value in (*made.cookies.values(), *made.headers.values()))
    assert made.header("x-any") == junk.decode("latin-1")
    assert all(isinstance(value, str) for pair in made.query.multi_items() for value in pair)


@given(
    st.dictionaries(
        st.from_regex(r"[a-zA-Z_-]{1,9}", fullmatch=True),
        st.from_regex(r"[!#$%&'()*+./0-9:<=>?@A-Z^_`a-z{|}~-]{0,20}", fullmatch=True),
    )
)
def test_what_a_browser_sends_is_read_as_it_was(cookies: dict[str, str]) -> None:
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    assert request(*([(b"cookie", header.encode())] if header else [])).cookies == cookies


@given(st.lists(st.text('ab=;" \t\\\x0b', max_size=20).map(str.encode) | st.binary(max_size=12), max_size=2))
def test_the_compiled_function_reads_cookies_as_the_reference_does(headers: list[bytes]) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_cookies
    expected: dict[str, str] = {}
    for header in headers:
        add_cookies(header, expected)
    assert request(*((b"cookie", header) for header in headers)).cookies == expected
    for header in headers:
        usual: dict[str, str] = {}
        reference: dict[str, str] = {}
        add_cookies(header, reference)
        if compiled(header, usual):
            assert list(usual.items()) == list(reference.items())


@pytest.mark.parametrize(
    ("header", "usual"),
    [(b"a=1; b=2", True), (b"a=1; b", False), (b'a="1"', False), (b"", False), (bytearray(b"a=1"), False)],
)
def test_which_cookies_the_compiled_function_reads(header: bytes, usual: bool) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_cookies
    assert compiled(header, {}) is usual


@pytest.mark.parametrize("arguments", [(), (b"a=1",), (b"a=1", None), (b"a=1", {}, 1)])
def test_the_compiled_function_takes_nothing_but_a_header_and_a_dict(arguments: tuple[Any, ...]) -> None:
    compiled = pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler").usual_cookies
    with pytest.raises(TypeError, match="cookies: dict"):
        compiled(*arguments)


@pytest.mark.parametrize(
    "piece",
    [b";", b"=", b",", b" ", b'"', b"\\", b"\\1", b"a=;", b'a="\\', b"\x0b", b"\x85", b"\xff", b"\\\\1"],
    ids=repr,
)
def test_a_long_header_takes_no_longer_than_its_length_says(piece: bytes) -> None:
    """16 KiB is all that a handshake may have; what is quadratic shows at sixteen times that."""
    junk = piece * (262_144 // len(piece))
    begin = time.process_time()
    assert request((b"cookie", junk), (b"cookie", b'a="' + junk + b'"')).cookies is not None
    assert time.process_time() - begin < 1.0


def test_names_become_lower_case_and_a_proper_scope_stays_the_same_object() -> None:
    proper = {"type": "http", "headers": [(b"origin", b"Http://X"), (b"1", b"")]}
    assert with_lower_names(proper) is proper
    given = {"type": "http", "headers": ((b"Origin", b"Http://X"), (b"COOKIE", b"A=B"))}
    assert with_lower_names(given)["headers"] == [(b"origin", b"Http://X"), (b"cookie", b"A=B")]
    assert given["headers"][0][0] == b"Origin"


@pytest.mark.parametrize(
    ("path", "raw", "root", "whole", "mount", "below"),
    [
        ("/chat/", b"/live/chat", "", "/live/chat", "/live", "/chat"),  # as Litestar has it
        ("/caf\u00e9 1/", b"/live/caf%C3%A9%201?a=/", "", "/live/caf\u00e9 1", "/live", "/caf\u00e9 1"),
        ("/", b"/live", "", "/live/", "/live", "/"),
        ("/chat/", b"/app/live/chat", "/app", "/app/live/chat", "/app/live", "/chat"),
        ("/chat/", b"/chat", "", "/chat", "", "/chat"),
        ("/app/chat/", b"/app/chat", "/app", "/app/chat", "/app", "/chat"),
    ],
)
def test_a_mount_point_that_was_taken_off_is_found(
    path: str, raw: bytes, root: str, whole: str, mount: str, below: str
) -> None:
    scope = {"type": "http", "path": path, "raw_path": raw, "root_path": root}
    mended = with_whole_path(scope)
    assert (mended["path"], mended["root_path"], route_path(mended)) == (whole, mount, below)
    assert scope["path"] == path  # a framework may need its own


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/", b"/"),
        ("/chat", b"/live/chat"),
        ("/chat/", b"/live/chat/"),
        ("/chat/", None),
        ("/a/", b"/b"),
        ("", b"/live"),
    ],
)
def test_any_other_path_stays(path: str, raw: bytes | None) -> None:
    scope = {"type": "http", "path": path, "raw_path": raw, "root_path": ""}
    assert with_whole_path(scope) is scope
