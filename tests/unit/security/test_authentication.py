from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from starlette.authentication import SimpleUser, UnauthenticatedUser
from starlette.responses import Response

from odac.errors import ConfigurationError
from odac.request import Request
from odac.security.authentication import Authentication, AuthService, current_request
from odac.security.secret import Secrets
from odac.security.session import Session, Sessions
from odac.security.token import Tokens
from tests.ids import stable

SECRETS = Secrets("a" * 32)
ADA = {"id": 7, "name": "Ada"}


class AnonymousUser:
    """As Django's, whose own needs settings."""

    id = None
    pk = None
    is_authenticated = False

    def __str__(self) -> str:
        return "AnonymousUser"


class Site:
    """An app's auth, and the browser's cookies."""

    def __init__(self, **options: Any) -> None:
        self.sessions = Sessions(SECRETS)
        self.tokens = Tokens(SECRETS)
        self.ended: list[str] = []
        self.auth = AuthService(self.sessions, on_logout=lambda session: self.ended.append(session.id), **options)
        self.cookies: dict[str, str] = {}

    def request(self, scheme: str = "ws", **scope: Any) -> Request:
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items()).encode()
        return Request({"type": "websocket", "scheme": scheme, "path": "/", "headers": [(b"cookie", header)], **scope})

    def session(self, scheme: str = "ws") -> Session | None:
        return self.sessions.load(self.request(scheme))

    def visit(self, view: Any, scheme: str = "http") -> Response:
        """Answer a request as the app does for the one that it wraps, and keep the cookies as a browser does."""
        response = Response()
        reset = current_request.set(self.request(scheme))
        try:
            view(response)
        finally:
            current_request.reset(reset)
        for each in response.headers.getlist("set-cookie"):
            cookie, *attributes = each.split("; ")
            name, _, value = cookie.partition("=")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return response

    def who(self, scheme: str = "ws", **scope: Any) -> Any:
        return asyncio.run(self.auth.connection(self.request(scheme, **scope)).user())


def test_login_is_seen_by_the_next_connection() -> None:
    site = Site()
    assert site.who() is None
    site.visit(lambda response: site.auth.login(response, ADA))
    assert site.who() == ADA
    assert site.who("wss") is None


def test_logout_is_seen_by_the_next_connection() -> None:
    site = Site()
    site.visit(lambda response: site.auth.login(response, ADA))
    site.visit(lambda response: site.auth.logout(response))
    assert site.who() is None
    assert site.cookies == {}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_scheme_of_the_passing_request_decides_the_cookie(scheme: str) -> None:
    site = Site()
    site.visit(lambda response: site.auth.login(response, ADA), scheme)
    assert list(site.cookies) == ["odac" if scheme == "http" else "__Host-odac"]
    assert site.who("ws" if scheme == "http" else "wss") == ADA
    site.visit(lambda response: site.auth.logout(response), scheme)
    assert site.cookies == {}


def test_a_token_from_before_login_or_logout_is_not_valid_after() -> None:
    site = Site()
    anonymous = site.sessions.create()
    site.cookies["odac"] = site.sessions.encode(anonymous)
    before = site.tokens.issue(anonymous.id)

    site.visit(lambda response: site.auth.login(response, ADA))
    logged_in = site.session()
    assert logged_in is not None
    assert not site.tokens.verify(before, logged_in.id)
    during = site.tokens.issue(logged_in.id)
    assert site.tokens.verify(during, logged_in.id)

    kept = dict(site.cookies)
    site.visit(lambda response: site.auth.logout(response))
    gone = site.session()
    assert gone is None
    assert not site.tokens.verify(during, None)
    # a copy of the cookie does not bring the session back either
    site.cookies = kept
    assert site.session() is None
    assert site.who() is None


def test_logout_reports_the_ended_session() -> None:
    site = Site()
    site.visit(lambda response: site.auth.login(response, ADA))
    session = site.session()
    assert session is not None
    site.visit(lambda response: site.auth.logout(response))
    assert site.ended == [session.id]


def test_logout_without_a_session_ends_none() -> None:
    site = Site()
    site.visit(lambda response: site.auth.logout(response))
    assert site.ended == []


@pytest.mark.parametrize("user", [{"id": 8}, {"id": 7, "admin": False}, ADA], ids=["another", "same-with-less", "same"])
def test_login_where_somebody_is_logged_in_ends_the_session_before(user: Any) -> None:
    """Of the same user too: a later logout would not find what was opened in the earlier session."""
    site = Site()
    site.visit(lambda response: site.auth.login(response, ADA))
    first = site.session()
    assert first is not None
    site.visit(lambda response: site.auth.login(response, user))
    assert site.ended == [first.id]
    assert site.who() == user


@pytest.mark.parametrize("authenticates", [False, True])
def test_logout_of_an_anonymous_session_revokes_nothing(authenticates: bool) -> None:
    """Anybody can make any number of them. With users of the application's own, their connections are closed."""
    site = Site()
    if authenticates:
        site.auth.authenticate(lambda request: None)
    session = site.sessions.create()
    kept = site.cookies["odac"] = site.sessions.encode(session)
    site.visit(lambda response: site.auth.logout(response))
    assert site.cookies == {}
    assert site.sessions.read(kept) is not None
    assert site.ended == ([session.id] if authenticates else [])


def test_logout_leaves_another_projects_cookie_alone() -> None:
    site, other = Site(), Sessions(Secrets("b" * 32))
    site.cookies["odac"] = foreign = other.encode(other.create(ADA))
    site.visit(lambda response: site.auth.login(response, ADA))
    assert len(site.cookies) == 2
    assert site.who() == ADA
    site.visit(lambda response: site.auth.logout(response))
    assert site.cookies == {"odac": foreign}


def test_login_after_nobody_ends_none() -> None:
    site = Site()
    site.cookies["odac"] = site.sessions.encode(site.sessions.create())
    site.visit(lambda response: site.auth.login(response, ADA))
    assert site.ended == []


@pytest.mark.parametrize(
    "user",
    [
        None,
        True,
        False,
        "",
        0,
        {},
        {"id": 7, "is_authenticated": False},
        object(),
        1.5,
        [7],
        SimpleUser("ada"),
        {"id": object()},
    ],
    ids=stable,
)
def test_login_takes_what_a_cookie_can_hold_and_says_so(user: Any) -> None:
    with pytest.raises(TypeError, match=r"\{'id': "):
        Site().visit(lambda response: Site().auth.login(response, user))


def test_a_response_that_cannot_set_cookies_is_named() -> None:
    response: Any = {}
    with pytest.raises(TypeError, match=r"set_cookie.*dict"):
        Site().auth.login(response, ADA)
    with pytest.raises(TypeError, match=r"set_cookie.*dict"):
        Site().auth.logout(response)


def test_without_the_request_it_is_plain_http_and_one_log_line_names_the_fix(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    response = Response()
    site.auth.login(response, ADA)
    site.auth.logout(response)
    assert response.headers.getlist("set-cookie")[0].startswith("odac=")
    assert len(caplog.records) == 1
    assert "request=request" in caplog.text


def test_a_request_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="request= takes"):
        Site().auth.login(Response(), ADA, {"scheme": "https"})


def test_a_view_can_ask_who_makes_its_request() -> None:
    site = Site()
    assert site.auth.session(SimpleNamespace(is_secure=False, cookies={})) is None
    site.visit(lambda response: site.auth.login(response, ADA))
    flask_like = SimpleNamespace(is_secure=False, cookies=site.cookies)
    session = site.auth.session(flask_like)
    assert session is not None
    assert session.user == ADA
    starlette_like = SimpleNamespace(scope=site.request("http").scope)
    with_its_own_user = SimpleNamespace(scope={**starlette_like.scope, "headers": [], "user": User(1)})
    assert asyncio.run(site.auth.user(flask_like)) == ADA
    assert asyncio.run(site.auth.user(starlette_like)) == ADA
    assert asyncio.run(site.auth.user(with_its_own_user)) == User(1)
    reset = current_request.set(site.request("http"))
    try:
        assert asyncio.run(site.auth.user()) == ADA
        assert asyncio.run(site.auth.user(with_its_own_user)) == User(1)  # the innermost knows most
    finally:
        current_request.reset(reset)
    assert asyncio.run(site.auth.user()) is None


def test_a_thousand_users_who_are_looked_up_at_once_are_never_mixed_up() -> None:
    site = Site()

    @site.auth.authenticate
    async def find(request: Request) -> Any:
        number = int(request.query["user"])
        for _ in range(number % 7):
            await asyncio.sleep(0)
        if number % 3 == 0:
            raise LookupError
        return {"id": number} if number % 3 == 1 else None

    async def one(number: int) -> Any:
        value = site.sessions.encode(site.sessions.create({"id": -number}))
        headers = [(b"cookie", f"odac={value}".encode())]
        request = Request(
            {"type": "websocket", "path": "/", "query_string": f"user={number}".encode(), "headers": headers}
        )
        try:
            return await site.auth.connection(request).user_id()
        except LookupError:
            return None

    async def go() -> list[Any]:
        return await asyncio.gather(*map(one, range(1000)))

    expected = [(None, number, -number)[number % 3] for number in range(1000)]
    assert asyncio.run(go()) == expected


# Finding the user of a connection.


@dataclass
class User:
    id: int
    is_authenticated: Any = True


def test_the_registered_function_goes_first() -> None:
    site = Site()
    site.visit(lambda response: site.auth.login(response, ADA))

    @site.auth.authenticate
    def find(request: Request) -> Any:
        return "from the function"

    assert site.who(user=User(1)) == "from the function"


def test_where_the_function_returns_no_user_the_scope_is_used_then_the_session() -> None:
    site = Site()
    site.visit(lambda response: site.auth.login(response, ADA))

    @site.auth.authenticate
    async def find(request: Request) -> Any:
        await asyncio.sleep(0)

    assert site.who(user=User(1)) == User(1)
    assert site.who(user=UnauthenticatedUser()) == ADA
    assert site.who() == ADA


@pytest.mark.parametrize("value", [False, "", {}, AnonymousUser(), UnauthenticatedUser()], ids=stable)
def test_what_is_no_user_is_none_from_the_function_or_the_cookie(value: Any) -> None:
    site = Site()
    site.auth.authenticate(lambda request: value)
    assert site.who() is None
    site = Site()
    if not isinstance(value, (AnonymousUser, UnauthenticatedUser)):
        site.cookies["odac"] = site.sessions.encode(site.sessions.create(value))
        assert site.who() is None
        assert asyncio.run(site.auth.user(SimpleNamespace(is_secure=False, cookies=site.cookies))) is None


def test_the_function_gets_the_request() -> None:
    site = Site()
    site.auth.authenticate(lambda request: request.query.get("user"))
    assert site.who(query_string=b"user=ada") == "ada"


class Method:
    def __init__(self, known: bool) -> None:
        self.known = known

    def is_authenticated(self) -> bool:
        return self.known


@pytest.mark.parametrize(
    ("user", "known"),
    [
        (User(1), True),
        (User(1, is_authenticated=False), False),
        (Method(True), True),
        (Method(False), False),
        (SimpleUser("ada"), True),
        (UnauthenticatedUser(), False),
        (SimpleNamespace(name="no such attribute"), False),
        ({"id": 1}, False),
        ("ada", False),
        (None, False),
    ],
    ids=stable,
)
def test_the_scopes_user_counts_where_it_says_that_it_is_authenticated(user: Any, known: bool) -> None:
    assert (site_user := Site().who(user=user)) is (user if known else None), site_user


def test_it_is_asked_once_a_connection() -> None:
    site = Site()
    calls: list[Request] = []

    @site.auth.authenticate
    async def find(request: Request) -> Any:
        calls.append(request)
        await asyncio.sleep(0)

    async def go() -> None:
        connection = site.auth.connection(site.request())
        assert calls == []  # not before it is asked
        assert await connection.user() is None
        assert not await connection.check()
        assert await connection.user_id() is None

    asyncio.run(go())
    assert len(calls) == 1


def test_two_tasks_that_ask_at_once_get_one_answer() -> None:
    site = Site()
    answers = iter([{"id": 1}, {"id": 2}, {"id": 3}])

    @site.auth.authenticate
    async def find(request: Request) -> Any:
        await asyncio.sleep(0)
        return next(answers)

    async def go() -> tuple[Any, ...]:
        connection = site.auth.connection(site.request())
        return await asyncio.gather(connection.user(), connection.user(), connection.user())

    first, second, third = asyncio.run(go())
    assert first is second is third


def test_what_the_function_raises_goes_to_the_caller_and_it_is_asked_again() -> None:
    site = Site()
    answers = iter([LookupError("database gone"), None])

    @site.auth.authenticate
    def find(request: Request) -> Any:
        if (answer := next(answers)) is not None:
            raise answer
        return ADA

    async def go() -> Any:
        connection = site.auth.connection(site.request())
        with pytest.raises(LookupError):
            await connection.check()
        return await connection.user()

    assert asyncio.run(go()) == ADA


def test_check_says_whether_there_is_a_user() -> None:
    site = Site()
    site.auth.authenticate(lambda request: request.query.get("user"))

    async def check(query: bytes) -> bool:
        return await site.auth.connection(site.request(query_string=query)).check()

    assert asyncio.run(check(b"user=ada"))
    assert not asyncio.run(check(b""))


def test_a_second_function_or_none_at_all_is_refused() -> None:
    site = Site()
    with pytest.raises(ConfigurationError, match="takes a function"):
        site.auth.authenticate("ada")  # type: ignore[type-var]
    with pytest.raises(ConfigurationError, match="a function of the request alone"):
        site.auth.authenticate(lambda request, session: None)  # type: ignore[type-var]
    site.auth.authenticate(lambda request: None)
    with pytest.raises(ConfigurationError, match="used twice"):
        site.auth.authenticate(lambda request: None)


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        (None, None),
        (7, 7),
        ("ada", "ada"),
        ({"id": 7, "pk": 8}, 7),
        ({"pk": 8}, 8),
        ({"id": None, "pk": 8}, 8),
        ({"sub": "248289761001", "name": "Ada"}, "248289761001"),
        ({"name": "ada"}, None),
        (User(9), 9),
        (SimpleNamespace(pk=5), 5),
        (SimpleNamespace(id=None, pk=5), 5),
        (object(), None),
    ],
    ids=stable,
)
def test_what_identifies_a_user(user: Any, identity: Any) -> None:
    assert Site().auth.user_id(user) == identity


def test_the_app_can_say_what_identifies_a_user() -> None:
    site = Site(user_id=lambda user: user["email"])
    assert site.auth.user_id({"id": 7, "email": "ada@example.com"}) == "ada@example.com"
    assert site.auth.user_id(None) is None


ADDRESSES = [
    (7, "7"),
    ("ada", "ada"),
    (UUID(int=7), str(UUID(int=7))),
    (User(9), "9"),
    (SimpleNamespace(pk=UUID(int=5)), str(UUID(int=5))),
    ({"sub": "24"}, "24"),
]


@pytest.mark.parametrize(("user", "address"), ADDRESSES, ids=stable)
def test_a_user_is_addressed_by_its_id_or_by_itself(user: Any, address: str) -> None:
    assert Site().auth.address(user) == address


def test_a_user_is_addressed_as_the_app_identifies_it() -> None:
    auth = Site(user_id=lambda user: user["email"]).auth
    assert auth.address({"id": 7, "email": "ada@example.com"}) == "ada@example.com"
    assert auth.address("ada@example.com") == "ada@example.com"
    assert auth.address(UUID(int=7)) == str(UUID(int=7))
    with pytest.raises(TypeError, match="what identifies a user"):
        auth.address({"id": 7})


NO_ADDRESS = [
    None,
    True,
    1.5,
    b"ada",
    {},
    {"name": "ada"},
    [7],
    (7,),
    object(),
    SimpleNamespace(id=None),
    AnonymousUser(),
]


@pytest.mark.parametrize("user", NO_ADDRESS, ids=stable)
def test_who_has_no_id_cannot_be_addressed(user: Any) -> None:
    with pytest.raises(TypeError, match="what identifies a user"):
        Site().auth.address(user)


def test_an_empty_id_addresses_no_user() -> None:
    with pytest.raises(ValueError, match="empty"):
        Site().auth.address({"id": ""})


def test_a_connection_keeps_little() -> None:
    assert not hasattr(Authentication(Site().auth, Site().request()), "__dict__")


def test_a_forged_cookie_is_no_user_and_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    other = Sessions(Secrets("b" * 32))
    site.cookies["odac"] = other.encode(other.create(ADA))
    with caplog.at_level(logging.DEBUG):
        assert site.who() is None
    assert site.cookies["odac"] not in caplog.text
