"""The test client for synchronous tests: it runs the app's event loop itself, in the test's own thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from odac.client.presence import Person, PresenceChange
from odac.client.recovery import Recover
from odac.close_codes import CloseCode
from odac.routing.annotations import local_names
from odac.spelling import check_fields, check_names
from odac.testing.client import AsyncTestClient
from odac.testing.connecting import earlier_connection
from odac.testing.connection import TIMEOUT, AsyncTestConnection
from odac.testing.exchange import AsgiApp
from odac.testing.loop_runner import LoopRunner
from odac.testing.sync_http import SyncHttpClient

__all__ = ["TestClient", "TestConnection"]

T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., Any])


@check_fields
class TestClient:
    """Runs an ASGI app with Odac in it, without sockets, threads or waiting, for synchronous tests::

        with TestClient(app) as client:
            with client.connect("/chat", user={"id": 7}) as ws:
                ws.send({"text": "hello"})
                assert ws.receive() == {"text": "hello"}

    A method of this class or of a connection runs the app until it is idle; between two calls the app does not run, so
    that a test can check its state. The arguments are those of :class:`AsyncTestClient`.
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
        self.app = app
        self._client = AsyncTestClient(
            app,
            odac=odac,
            prefix=prefix,
            base_url=base_url,
            headers=headers,
            cookies=cookies,
            client=client,
            raise_exceptions=raise_exceptions,
        )
        self._run = LoopRunner()
        self.http = SyncHttpClient(self._client.http, self._run)
        """HTTP requests to the app: ``client.http.get("/path")``."""

    def __enter__(self) -> Self:
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._run.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._run(self._client.__aexit__(kind, error, traceback))
        finally:
            self._run.close()

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
        again: TestConnection | None = None,
        raise_exceptions: bool | None = None,
    ) -> TestConnection:
        """Open a connection; ``with`` closes it at the end of the block. See :meth:`AsyncTestClient.connect`."""
        earlier = earlier_connection(again, TestConnection)
        connecting = self._client.connect(
            path,
            user=user,
            token=token,
            headers=headers,
            cookies=cookies,
            origin=origin,
            subprotocols=subprotocols,
            v1=v1,
            again=None if earlier is None else earlier._connection,
            raise_exceptions=raise_exceptions,
        )

        async def opened() -> AsyncTestConnection:
            return await connecting

        return TestConnection(self._run(opened()), self._run)

    def login(self, user: Any) -> None:
        """Log in; see :meth:`AsyncTestClient.login`."""

        async def logged_in() -> None:
            self._client.login(user)
            await self._client.settle()

        self._run(logged_in())

    def logout(self) -> None:
        """Log out; the app closes the session's connections."""

        async def logged_out() -> None:
            self._client.logout()
            await self._client.settle()

        self._run(logged_out())

    def lose_broker(self) -> None:
        """See :meth:`AsyncTestClient.lose_broker`."""
        self._run(self._client.lose_broker())

    def restore_broker(self) -> None:
        """See :meth:`AsyncTestClient.restore_broker`."""
        self._run(self._client.restore_broker())

    def settle(self) -> None:
        """Run the app until it is idle, after the test did something to it in another way than by this client."""
        self._run(self._client.settle())

    def advance(self, seconds: float) -> None:
        """Move the app's clock forward; see :meth:`AsyncTestClient.advance`."""
        self._run(self._client.advance(seconds))


class TestConnection:
    """A client's end of a connection to the app, made by :meth:`TestClient.connect`.

    See :class:`AsyncTestConnection`, whose methods these are, without ``await``.
    """

    __test__ = False  # pytest: not a test class

    def __init__(self, connection: AsyncTestConnection, run: LoopRunner) -> None:
        self._connection = connection
        self._run = run

    def __repr__(self) -> str:
        return repr(self._connection).replace("AsyncTestConnection", "TestConnection")

    def send(self, data: Any) -> None:
        """Send a message, and run the app until it is idle."""
        self._run(self._connection.send(data))

    def send_binary(self, data: Any) -> None:
        """Send any bytes-like object as a binary message, and run the app until it is idle."""
        self._run(self._connection.send_binary(data))

    def receive(self, timeout: float = TIMEOUT) -> Any:
        """Take the next message; ``timeout`` is in seconds of the app's time, which take no real time."""
        return self._run(self._connection.receive(timeout))

    def call(
        self, name: str, arguments: Any = None, *, timeout: float = 10.0, retry: bool = False, returns: Any = None
    ) -> Any:
        """Call the app, and run it until it has answered; see :meth:`AsyncTestConnection.call`."""
        return self._run(self._connection.call(name, arguments, timeout=timeout, retry=retry, returns=returns))

    def answer(self, name: str) -> Callable[[H], H]:
        """Let a function answer the app's ``odac.ws.call(name, arguments)``: ``@ws.answer("confirm")``."""
        return self._connection.answerer(name, local_names(1))

    def received_nothing(self) -> bool:
        """Run the app until it is idle, and return whether :attr:`unread` is empty."""
        return self._run(self._connection.received_nothing())

    def wait_closed(self, timeout: float = TIMEOUT) -> tuple[int, str]:
        """Run the app until it has closed the connection."""
        return self._run(self._connection.wait_closed(timeout))

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close from the client's side; closing twice is no error."""
        self._run(self._connection.close(code, reason))

    def drop(self, *, after: int = 0) -> None:
        """Lose the connection, at once or after further messages; see :meth:`AsyncTestConnection.drop`."""
        self._run(self._connection.drop(after=after))

    def pause_reading(self) -> None:
        """Stop reading, as a client that is too slow; see :meth:`AsyncTestConnection.pause_reading`."""
        self._run(self._connection.pause_reading())

    def resume_reading(self) -> None:
        """Read the messages that wait, and those after them."""
        self._run(self._connection.resume_reading())

    def settle(self) -> None:
        """Run the app until it is idle."""
        self._run(self._connection.settle())

    @property
    def received(self) -> list[Any]:
        """Every message so far."""
        return self._connection.received

    @property
    def recoveries(self) -> list[Recover]:
        """The argument of each event ``recover`` so far, for rooms with history."""
        return self._connection.recoveries

    @property
    def unread(self) -> list[Any]:
        """The messages that have arrived and were not received by the test."""
        return self._connection.unread

    @property
    def control(self) -> list[tuple[str, list[object]]]:
        """Every control message so far."""
        return self._connection.control

    @property
    def presence(self) -> list[PresenceChange]:
        """The argument of each event ``presence`` so far."""
        return self._connection.presence

    def people(self, room: str) -> list[Person]:
        """The members of a room, as far as the app has sent them to this connection."""
        return self._connection.people(room)

    @property
    def id(self) -> str | None:
        """The connection's id, as the app's ``odac.ws.id``; None without odac.v1."""
        return self._connection.id

    @property
    def token(self) -> str | None:
        """The last token that the app sent for a reconnect."""
        return self._connection.token

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app selected."""
        return self._connection.subprotocol

    @property
    def closed(self) -> tuple[int, str] | None:
        """Close code and reason, whichever side closed; None while the connection is open."""
        return self._connection.closed

    @property
    def close_code(self) -> int | None:
        """The close code; None while the connection is open."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        """The close reason; None while the connection is open."""
        return self._connection.close_reason

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._run(self._connection.__aexit__(kind, error, traceback))
