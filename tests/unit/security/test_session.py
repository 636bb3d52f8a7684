from __future__ import annotations

import base64
import logging
import os
import pickle
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from odac.config import SessionOptions
from odac.request import Request
from odac.security.secret import Secrets
from odac.security.session import Sessions
from odac.security.token import Tokens

SECRETS = Secrets("a" * 32)
ALPHABET = string.ascii_letters + string.digits + "-_."
USERS = [
    None,
    7,
    "ada",
    {"id": 7, "name": "Ada"},
    {"id": "7", "tags": ["ü", {"deep": [1.5, None, True]}]},
    {"id": 2**60},
]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def request(cookies: dict[str, str], scheme: str = "ws") -> Request:
    header = "; ".join(f"{name}={value}" for name, value in cookies.items()).encode("latin-1")
    return Request({"type": "websocket", "scheme": scheme, "path": "/", "headers": [(b"cookie", header)]})


@pytest.mark.parametrize("user", USERS, ids=repr)
def test_a_session_comes_back_from_its_cookie(user: Any) -> None:
    sessions = Sessions(SECRETS)
    made = sessions.create(user)
    found = Sessions(SECRETS).load(request({"a": "b", "odac": sessions.encode(made), "c": "d"}))
    assert found is not None
    assert (found.id, found.user, found.issued, found.began) == (made.id, user, made.issued, made.began)


def test_each_session_has_an_id_of_its_own() -> None:
    sessions = Sessions(SECRETS)
    assert len({sessions.create().id for _ in range(1000)}) == 1000
    assert {len(sessions.create().id) for _ in range(100)} == {22}


def test_without_a_cookie_there_is_no_session() -> None:
    assert Sessions(SECRETS).load(request({})) is None
    assert Sessions(SECRETS).load(Request({"type": "websocket", "scheme": "ws", "path": "/", "headers": []})) is None


def test_over_https_only_the_host_cookie_counts() -> None:
    """An HTTP page or a sibling host could have set the other one."""
    sessions = Sessions(SECRETS)
    value = sessions.encode(sessions.create("ada"))
    assert sessions.load(request({"__Host-odac": value}, "wss")) is not None
    assert sessions.load(request({"__Host-odac": value}, "https")) is not None
    assert sessions.load(request({"odac": value}, "wss")) is None
    assert sessions.load(request({"odac": value}, "ws")) is not None
    assert sessions.load(request({"__Host-odac": value}, "ws")) is None


def test_every_character_changed_to_every_other_one_fails() -> None:
    sessions = Sessions(SECRETS)
    value = sessions.encode(sessions.create({"id": 7}))
    for at in range(len(value)):
        for character in ALPHABET + "=+/ \n\x00é":
            if character != value[at]:
                assert sessions.read(value[:at] + character + value[at + 1 :]) is None, (at, character)


def test_truncated_or_extended_it_fails() -> None:
    sessions = Sessions(SECRETS)
    value = sessions.encode(sessions.create({"id": 7}))
    for end in range(len(value)):
        assert sessions.read(value[:end]) is None
    for other in (value + "=", value + "A", value + ".", "." + value, value + "." + value, value * 2):
        assert sessions.read(other) is None, other


def test_it_expires() -> None:
    clock = Clock()
    sessions = Sessions(SECRETS, SessionOptions(max_age=3600), clock=clock)
    value = sessions.encode(sessions.create("ada"))
    clock.now += 3599
    assert sessions.read(value) is not None
    clock.now += 1
    assert sessions.read(value) is None


def test_one_from_a_machine_whose_clock_is_ahead_is_accepted() -> None:
    clock = Clock()
    sessions = Sessions(SECRETS, clock=clock)
    value = sessions.encode(sessions.create("ada"))
    clock.now -= 5
    assert sessions.read(value) is not None


def test_it_is_renewed_when_half_its_time_is_over() -> None:
    clock = Clock()
    sessions = Sessions(SECRETS, SessionOptions(max_age=3600), clock=clock)
    session = sessions.create("ada")
    clock.now += 1800
    assert sessions.renewed(session) is None
    clock.now += 1
    renewed = sessions.renewed(session)
    assert renewed is not None
    assert (renewed.id, renewed.user, renewed.issued) == (session.id, "ada", int(clock.now))


def test_a_revoked_session_is_no_more() -> None:
    sessions = Sessions(SECRETS)
    one, other = sessions.create("ada"), sessions.create("bob")
    sessions.revoke(one.id)
    assert sessions.read(sessions.encode(one)) is None
    assert sessions.read(sessions.encode(other)) is not None


def test_a_revoked_session_stays_revoked_however_many_others_are() -> None:
    sessions = Sessions(SECRETS)
    ada = sessions.create("ada")
    cookie = sessions.encode(ada)
    sessions.revoke(ada.id)
    for number in range(100_000):
        sessions.revoke(f"another session, {number}")
    assert sessions.read(cookie) is None
    assert sessions.read(sessions.encode(sessions.create("bob"))) is not None


def test_renewing_does_not_extend_the_lifetime() -> None:
    clock = Clock()
    sessions = Sessions(SECRETS, SessionOptions(max_age=3600, lifetime=7200), clock=clock)
    session = sessions.create("ada")
    began = session.began
    for _ in range(3):
        clock.now += 2000
        renewed = sessions.renewed(session)
        assert renewed is not None
        assert renewed.began == began
        found = sessions.read(sessions.encode(renewed))
        assert found is not None
        session = found
    clock.now = began + 7199
    value = sessions.encode(session)
    assert sessions.read(value) is not None
    clock.now += 1
    assert sessions.read(value) is None
    assert sessions.read(sessions.encode(sessions.renewed(session) or session)) is None


def test_the_browser_keeps_the_cookie_no_longer_than_the_session_lasts() -> None:
    clock = Clock()
    sessions = Sessions(SECRETS, SessionOptions(max_age=3600, lifetime=5000), clock=clock)
    session = sessions.create("ada")
    clock.now += 4000
    renewed = sessions.renewed(session)
    assert renewed is not None
    response = Response()
    sessions.set_cookie(response, renewed, secure=False)
    assert "max-age=1000" in attributes(response)[1]


# Another project of the same host, on another port or path: one cookie jar for both.


@pytest.mark.parametrize("secure", [False, True])
def test_another_projects_cookie_is_left_alone(secure: bool) -> None:
    ours, theirs = Sessions(SECRETS), Sessions(Secrets("b" * 32))
    jar: dict[str, str] = {}
    for sessions, user in ((ours, "ada"), (theirs, "bob")) * 2:
        found = sessions.find(jar, secure)
        jar[found.name] = sessions.encode(found.session or sessions.create(user))
    assert len(jar) == 2
    for sessions, user in ((ours, "ada"), (theirs, "bob")):
        session, name = sessions.find(jar, secure)
        assert session is not None
        assert session.user == user
        assert name.startswith("__Host-odac" if secure else "odac")


def test_the_name_with_a_suffix_stays_through_a_rotation_of_secrets() -> None:
    old, new = "a" * 32, "c" * 32
    before, after = Sessions(Secrets(old)), Sessions(Secrets([new, old]))
    foreign = Sessions(Secrets("b" * 32))
    jar = {"odac": foreign.encode(foreign.create())}
    name = before.find(jar, False).name
    jar[name] = before.encode(before.create("ada"))
    session, found = after.find(jar, False)
    assert session is not None
    assert (session.user, found) == ("ada", name)


def test_a_lost_random_secret_leaves_one_cookie_and_not_one_for_each_start(monkeypatch: pytest.MonkeyPatch) -> None:
    jar: dict[str, str] = {}
    for _ in range(5):
        monkeypatch.setattr("odac.security.secret._random_secret", lambda: os.urandom(32))
        sessions = Sessions(Secrets(environ={}))
        found = sessions.find(jar, False)
        jar[found.name] = sessions.encode(sessions.create())
        assert sessions.find(jar, False).session is not None
    assert len(jar) == 2


@pytest.mark.parametrize("value", ["", "junk", "a.b", "x" * 5000, "." * 44])
def test_what_is_no_session_of_anybody_is_overwritten(value: str) -> None:
    assert Sessions(SECRETS).find({"odac": value}, False).name == "odac"


def test_an_expired_or_revoked_cookie_of_its_own_is_overwritten() -> None:
    clock = Clock()
    sessions = Sessions(SECRETS, clock=clock)
    revoked, expired = sessions.create("ada"), sessions.create("bob")
    sessions.revoke(revoked.id)
    assert sessions.find({"odac": sessions.encode(revoked)}, False).name == "odac"
    clock.now += 30 * 86_400
    assert sessions.find({"odac": sessions.encode(expired)}, False).name == "odac"


def test_the_cookies_name_can_be_set() -> None:
    sessions = Sessions(SECRETS, SessionOptions(cookie="shop"))
    response = Response()
    sessions.set_cookie(response, sessions.create(), secure=True)
    assert attributes(response)[0] == "__Host-shop"
    assert sessions.load(request({"shop": sessions.encode(sessions.create("ada"))})) is not None
    assert sessions.load(request({"odac": sessions.encode(sessions.create("ada"))})) is None


def test_a_token_is_no_session_and_a_session_no_token() -> None:
    sessions, tokens = Sessions(SECRETS), Tokens(SECRETS)
    session = sessions.create()
    assert sessions.read(tokens.issue(session.id)) is None
    assert not tokens.verify(sessions.encode(session), session.id)


def test_what_is_not_json_cannot_be_a_sessions_user() -> None:
    sessions = Sessions(SECRETS)
    recursive: list[Any] = []
    recursive.append(recursive)
    for user in (object(), {"id": object()}, {"id": "\ud800"}, recursive):
        with pytest.raises(TypeError, match="must be JSON"):
            sessions.encode(sessions.create(user))


def test_a_user_too_big_for_a_cookie_is_refused_with_what_to_do() -> None:
    sessions = Sessions(SECRETS)
    with pytest.raises(ValueError, match="load the rest by id"):
        sessions.encode(sessions.create({"id": 7, "bio": "x" * 4000}))


@pytest.mark.parametrize("size", [100, 1000, 2500, 2900])
def test_whatever_can_be_written_can_be_read(size: int) -> None:
    sessions = Sessions(SECRETS)
    assert sessions.read(sessions.encode(sessions.create("x" * size))) is not None


@given(st.text())
def test_whatever_comes_it_is_refused_and_nothing_raised(value: str) -> None:
    assert Sessions(SECRETS).read(value) is None


def test_what_is_signed_but_not_ours_is_refused() -> None:
    """An older version's cookie, say."""
    sessions = Sessions(SECRETS)
    for payload in (b"", b"e30", b"bm90IGpzb24", base64.urlsafe_b64encode(pickle.dumps({"id": 7})), b"W" * 999, b"A"):
        signature = base64.urlsafe_b64encode(sessions._macs[0].sign(payload)).rstrip(b"=")
        assert sessions.read(f"{payload.decode()}.{signature.decode()}") is None


def test_a_cookie_from_before_is_still_one() -> None:
    """The format is fixed: a new version must not log everybody out."""
    sessions = Sessions(Secrets("a secret of more than 32 bytes, for this test"), clock=lambda: 1_700_000_001)
    found = sessions.read(
        "WzE3MDAwMDAwMDAsImFiY2RlZmdoaWprbG1ub3BxcnN0dXYiLHsiaWQiOjd9XQ.4cjCS4mWT5NTYaImLkkaZN3tIa43Ju_AIAY0lel8Bi4"
    )
    assert found is not None
    assert (found.id, found.user, found.issued) == ("abcdefghijklmnopqrstuv", {"id": 7}, 1_700_000_000)
    assert found.began == found.issued
    found = sessions.read(
        "WzE3MDAwMDAwMDAsImFiY2RlZmdoaWprbG1ub3BxcnN0dXYiLHsiaWQiOjd9LDE2OTgwMDAwMDBd.3XfoHtzR-CkaKgQZqRRM6jsIkttArOvue11GI7sHFRg"
    )
    assert found is not None
    assert (found.id, found.user, found.issued, found.began) == (
        "abcdefghijklmnopqrstuv",
        {"id": 7},
        1_700_000_000,
        1_698_000_000,
    )


@given(
    st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.text()), max_size=4)
)
def test_any_json_user_comes_back_equal(user: dict[str, Any]) -> None:
    sessions = Sessions(SECRETS)
    found = sessions.read(sessions.encode(sessions.create(user)))
    assert found is not None
    assert found.user == user


def test_the_fingerprint_tells_sessions_and_users_apart_and_gives_neither_away() -> None:
    sessions = Sessions(SECRETS)
    one, other = sessions.create("ada"), sessions.create("ada")
    prints = [each.fingerprint(user) for each in (one, other) for user in (None, "", "ada", "bob", 7)]
    assert len(set(prints)) == len(prints)
    assert one.fingerprint("ada") == one.fingerprint("ada")
    renewed = Sessions(Secrets("b" * 32)).create()
    renewed.id = one.id
    assert renewed.fingerprint("ada") == one.fingerprint("ada")  # whatever the secret
    assert all(each.isascii() and len(each) == 20 and one.id not in each for each in prints)


def test_the_cookie_has_every_attribute_that_protects_it() -> None:
    sessions = Sessions(SECRETS, SessionOptions(max_age=3600))
    plain, secure = Response(), Response()
    sessions.set_cookie(plain, sessions.create(), secure=False)
    sessions.set_cookie(secure, sessions.create(), secure=True)
    assert attributes(plain) == ("odac", {"httponly", "max-age=3600", "path=/", "samesite=lax"})
    assert attributes(secure) == ("__Host-odac", {"httponly", "max-age=3600", "path=/", "samesite=lax", "secure"})


def attributes(response: Response) -> tuple[str, set[str]]:
    cookie, *rest = response.headers["set-cookie"].split("; ")
    return cookie.partition("=")[0], {each.lower() for each in rest}


def test_nothing_of_it_is_logged_or_in_a_repr(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        sessions = Sessions(SECRETS)
        session = sessions.create("ada")
        value = sessions.encode(session)
        sessions.read(value)
        sessions.read(value[:-1])
        sessions.read("x." + value)
    assert caplog.records == []
    assert session.id not in repr(session)
    assert "ada" not in repr(session)
