"""The test client: an app and its clients in one process."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from starlette.requests import Request
from starlette.responses import Response as StarletteResponse

from odac.client.cookies import CookieJar
from odac.client.errors import HandshakeRefused
from odac.client.link import PROTOCOL
from odac.client.recovery import RESUME, Positions
from odac.spelling import check_fields, check_names
from odac.testing.connecting import Connecting, earlier_connection
from odac.testing.connection import AsyncTestConnection
from odac.testing.exchange import AsgiApp, Environment, HttpClient, Login, exchange
from odac.testing.faults import BrokerFault
from odac.testing.life import AppLife
from odac.testing.loop import TestLoop, end_tasks, settle

__all__ = ["AsyncTestClient"]


@check_fields
class AsyncTestClient:
    """Runs an ASGI app with Odac in it, without sockets, for asynchronous tests::

        async with AsyncTestClient(app) as client:
            async with client.connect("/chat", user={"id": 7}) as ws:
                await ws.send({"text": "hello"})
                assert await ws.receive() == {"text": "hello"}

    Args:
        app: the ASGI app: an ``Odac``, or an app that one is mounted in. Its lifespan runs from entering to leaving.
        odac: the ``Odac`` itself where ``app`` is another one; ``user=`` needs it.
        prefix: where the token endpoint is; by default the ``prefix`` of the ``Odac``. For a mounted one, with the
            mount point in front.
        base_url: scheme and host of the app; with ``https`` the session cookie is the secure one.
        headers: sent with every request and handshake.
        cookies: the cookies to begin with.
        client: address and port that requests appear to come from.
        raise_exceptions: whether an exception that a handler, listener, timer, middleware, authenticator or answer to a
            call raises, and the app does not handle, is raised by the test's next call of the client or a connection.

    Raises:
        ValueError: ``base_url`` has a path, or no scheme and host.
    """

    __test__ = False  # pytest: not a test class

    def __init__(
        self,
        app: AsgiApp,
        *,
        odac: Any = None,
        prefix: str | None = None,
        base_url: str = "http://testserver",
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        client: tuple[str, int] | None = ("127.0.0.1", 50_000),
        raise_exceptions: bool = True,
    ) -> None:
        if not callable(app):
            raise TypeError(f"TestClient(app) takes an Odac app, or another ASGI app, not {app!r}")
        self.app = app
        self._odac = odac if odac is not None else app
        own_prefix = prefix if prefix is not None else getattr(self._odac, "prefix", "/odac")
        self._token_url = f"{own_prefix}/token"
        self._environment = Environment(app, base_url, headers, client, raise_exceptions)
        self._jar = CookieJar(cookies)
        self._connections: list[AsyncTestConnection] = []
        self._life: AppLife | None = None
        self._broker = BrokerFault(self._odac)
        self.http = HttpClient(self._environment, self._jar)
        """HTTP requests to the app: ``await client.http.get("/path")``."""

    async def __aenter__(self) -> Self:
        lifespan = AppLife(self._environment)
        await lifespan.start()
        self._life = lifespan
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            for connection in self._connections:
                connection.leave()
            await settle(lambda: self._environment.activity)
            # As on a server, a handler still runs after its client has disconnected, and is cancelled after a while.
            await end_tasks([connection.task for connection in self._connections], self._grace())
        finally:
            self._broker.restore()  # for the next test
            if self._life is not None:
                await self._life.stop()
        if kind is None:
            self._environment.raise_failure()

    def _grace(self) -> float:
        limits = getattr(self._odac, "limits", None)
        return float(getattr(limits, "close_timeout", 10.0)) + 1.0

    @check_names
    def connect(
        self,
        path: str,
        *,
        user: Any = None,
        token: bool | str = True,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, str] | None = None,
        origin: str | None = None,
        subprotocols: Sequence[str] = (),
        v1: bool = True,
        again: AsyncTestConnection | None = None,
        raise_exceptions: bool | None = None,
    ) -> Connecting:
        """Open a connection: ``async with client.connect(…) as ws:`` or ``ws = await client.connect(…)``.

        It returns when the app is idle again: a close by authentication, token or middleware has happened by then.

        Args:
            path: path and query.
            user: the user of this connection alone: a dict, str or int by a session cookie that the app signs; any
                other object, such as a Django user, is what ``await odac.auth.user()`` returns.
            token: True fetches a real one from the app's endpoint, False sends none, a str is sent as it is.
            headers: further headers of the handshake.
            cookies: further cookies, for this connection alone.
            origin: the ``Origin`` header; None sends none, as clients outside of browsers do.
            subprotocols: the names to offer besides Odac's own.
            v1: whether to offer ``odac.v1``, as Odac's own clients do.
            again: an earlier connection of this client: it recovers the rooms with history that the client was in, as
                Odac's own clients do when they reconnect, and has the same user and session, unless ``user`` differs.
            raise_exceptions: as for the client, for this connection alone; None takes the client's.

        Raises:
            HandshakeRefused: the app answered with an HTTP status: 403 for the origin, 404 for the path. It gives the
                reason that the server's log has.
            TypeError: ``again`` is not a connection.
        """
        if self._life is None:
            raise RuntimeError("the app has not started: connect within 'with TestClient(app) as client:'")
        earlier_connection(again, AsyncTestConnection)
        raises = self._environment.raises if raise_exceptions is None else raise_exceptions
        return Connecting(
            lambda: self._connect(path, user, token, headers, cookies, origin, subprotocols, v1, again, raises)
        )

    async def _connect(
        self,
        path: str,
        user: Any,
        token: bool | str,
        headers: Mapping[str, str] | None,
        cookies: Mapping[str, str] | None,
        origin: str | None,
        subprotocols: Sequence[str],
        v1: bool,
        again: AsyncTestConnection | None,
        raises: bool,
    ) -> AsyncTestConnection:
        earlier = None if again is None else again.own_login
        login = earlier  # the same user keeps the session, because in another one the client would recover nothing
        if user is not None and (earlier is None or earlier.user != user):
            login = Login(user, self._jar.copy())
            if _fits_cookie(user):
                self._log_in(login.jar, user, new_session=True)
        jar = self._jar if login is None else login.jar
        object_user = self._environment.user if login is None else None if _fits_cookie(login.user) else login.user
        if cookies:
            jar = jar.copy()
            jar.store([f"{name}={value}; Path=/" for name, value in CookieJar(cookies).for_path("/").items()])
        offered = [PROTOCOL] if v1 else []
        if token is True:
            token = await self._token(jar, headers or {}, object_user)
        if token:
            offered.append(f"odac-token-{token}")
        offered += subprotocols
        positions = Positions() if again is None else again.positions
        if v1 and positions.resume() is not None:
            offered.append(RESUME)
        fields = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
            **({"sec-websocket-protocol": ", ".join(offered)} if offered else {}),
            **({"origin": origin} if origin is not None else {}),
            **(headers or {}),
        }
        scope = self._environment.scope(
            "websocket", path, fields, jar, subprotocols=offered, extensions={"websocket.http.response": {}}
        )
        connection = AsyncTestConnection(self._environment, scope, positions, user=object_user, raises=raises)
        connection.own_login = login
        self._connections = [*(earlier for earlier in self._connections if not earlier.over), connection]
        await connection.open()
        return connection

    async def _token(self, jar: CookieJar, headers: Mapping[str, str], user: Any) -> str:
        answer = await exchange(self._environment, jar, "GET", self._token_url, headers, b"", user)
        if answer.status != 200:
            self._environment.raise_failure()
            raise HandshakeRefused(
                answer.status,
                f"no token from {self._token_url}: {answer.text[:200]!r}; set prefix= of the test client, or"
                " token=False",
                answer.headers,
            )
        token: str = answer.json()["token"]
        return token

    def login(self, user: Any) -> None:
        """Log in: later requests and connections of this client have this user, except connections with ``user=``.

        Args:
            user: as for :meth:`connect`: a dict, str or int by a session cookie; any other object is what ``await
                odac.auth.user()`` and ``await app.auth.user(request)`` return.
        """
        if _fits_cookie(user):
            self._log_in(self._jar, user, new_session=False)
            self._environment.user = None
        else:
            self._environment.user = user

    def logout(self) -> None:
        """Log out; the app closes the session's connections."""
        self._environment.user = None
        response = StarletteResponse()
        self._auth().logout(response, self._request(self._jar))
        self._jar.store(response.headers.getlist("set-cookie"))

    def _log_in(self, jar: CookieJar, user: Any, *, new_session: bool) -> None:
        response = StarletteResponse()
        # The login of a connection with user= does not end the session of the client.
        self._auth().login(response, user, self._request(CookieJar() if new_session else jar))
        jar.store(response.headers.getlist("set-cookie"))

    def _request(self, jar: CookieJar) -> Request:
        return Request(self._environment.scope("http", "/", {}, jar, method="POST"))

    def _auth(self) -> Any:
        auth = getattr(self._odac, "auth", None)
        if not hasattr(auth, "login"):
            raise TypeError(
                f"logging in needs the Odac app, and {type(self._odac).__name__} has no auth.login: give it as odac="
            )
        return auth

    async def lose_broker(self) -> None:
        """Disconnect the broker, as when its server is down: the health check answers 503, messages reach no other
        process, and sends to rooms with history wait, and then raise :exc:`odac.BrokerError`.

        Raises:
            RuntimeError: the app's broker is not ``memory://`` with a name, the only one that a test can disconnect.
        """
        self._broker.lose()
        await self.settle()

    async def restore_broker(self) -> None:
        """Connect the broker again. Messages that were sent meanwhile are lost, as with a real one."""
        self._broker.restore()
        await self.settle()

    async def settle(self) -> None:
        """Wait until nothing in the app is ready to run; code that waits for a timer or a socket does not count.

        Raises:
            NeverIdle: the app does not become idle.
        """
        await settle(lambda: self._environment.activity)
        self._environment.raise_failure()

    async def advance(self, seconds: float) -> None:
        """Move the app's clock forward: timers, intervals and heartbeats that become due run, each at its time.

        That is the event loop's clock; ``time.time()`` and ``time.monotonic()`` do not move.

        Raises:
            RuntimeError: the test does not run on a :class:`TestLoop`.
        """
        loop = asyncio.get_running_loop()
        if not isinstance(loop, TestLoop):
            raise RuntimeError(
                "advance() needs a loop whose time can be moved: run the test with odac.testing.run(…), or use"
                " TestClient"
            )
        await loop.advance(seconds)
        self._environment.raise_failure()


def _fits_cookie(user: Any) -> bool:
    """Whether a session cookie can hold the user; any other user is an object that the app gets as it is."""
    return isinstance(user, (dict, str, int))
