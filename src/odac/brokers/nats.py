"""NATS core."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from odac.brokers.base import MAX_PAYLOAD
from odac.brokers.echo_confirmed import CONFIRM_TIMEOUT, EchoConfirmedBroker
from odac.brokers.reconnecting import CONNECT_TIMEOUT, first_to_end
from odac.brokers.url import BrokerURL
from odac.errors import BrokerError, ConfigurationError

__all__ = ["NatsBroker"]

CLOSE_TIMEOUT: Final = 1.0
_REFUSED: Final = re.compile(r"permissions violation for publish(?:ing)? to \"?([^\"\s]+)", re.IGNORECASE)
PENDING_BYTES: Final = 1024 * 1024
OPTIONS: Final = ("tls_ca", "tls_cert", "tls_key", "credentials", "nkey")


class _Sink(asyncio.Future[Msg]):
    """Passed to subscriptions in place of the future for a single answer, to receive every message synchronously.

    With a callback, nats-py runs a task and a queue of half a million messages for each subscription: each room would
    cost a task, and messages to two rooms would overtake each other.
    """

    def __init__(self, arrived: Callable[[str, bytes], None]) -> None:
        super().__init__()
        self._arrived = arrived

    def set_result(self, result: Msg) -> None:
        """Receive a message."""
        self._arrived(result.subject, result.data)


class _Client(Client):
    """nats-py's client, changed so that ``closed_cb`` is called in every case.

    The original closes itself when the connection breaks, and calls ``closed_cb`` last. If it has unsent commands, it
    tries to send them first; that raises, and ``closed_cb`` is never called. Its flusher ends as well, so that a
    caller that waits for room in the queue of flushes waits forever.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        try:
            await super()._close(status, do_cbs)
        except (OSError, RuntimeError) as error:  # uvloop raises RuntimeError where asyncio raises ConnectionError
            self._err = self._err or error
        finally:
            self.ended.set()


class NatsBroker(EchoConfirmedBroker):
    """``nats://host:port,host:port``, and ``tls://`` for TLS. The URL's options are names of files; those for TLS are
    in PEM format:

    - ``tls_ca``: the certificates of the authority that signed the server's, if the system does not trust it;
    - ``tls_cert`` and ``tls_key``: this client's certificate, and its key if that is in another file;
    - ``credentials``: the file that ``nsc`` makes for a user (JWT and seed), ``nkey``: the seed of an NKey alone.

    nats-py's own reconnecting is turned off: it would send its buffered messages after newer ones of other processes,
    and its read loop ends silently after an unknown error.

    Args:
        url: the URL of one server, or of several of a cluster.

    Raises:
        ConfigurationError: an option is unknown, or its file cannot be used.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url)
        scheme, _, rest = url.url.partition("://")
        rest, _, query = rest.partition("?")
        if url.path.strip("/"):
            raise ConfigurationError(f"{scheme}:// URLs have no path")
        credentials, _, hosts = rest.rstrip("/").rpartition("@")
        # nats-py does not decode a URL's user and password, so they are taken out and decoded here.
        user, colon, password = credentials.partition(":")
        self._user = unquote(user) if colon else None
        self._password = unquote(password) if colon else None
        self._token = unquote(user) if user and not colon else None
        if "@" in credentials:
            raise ConfigurationError(
                f"{scheme}:// URLs have one user and password for all servers: {scheme}://user:password@host,host"
            )
        self._servers = [f"{scheme}://{host}" for host in hosts.split(",")]
        options = _options(scheme, query)
        self._tls = _tls(options) if scheme == "tls" else None
        self._credentials = options.get("credentials")
        self._nkey = options.get("nkey")
        self._subscriptions: dict[str, Subscription] = {}
        self._last_error: Exception | None = None

    async def _session(self) -> None:
        self._last_error = None
        sink = _Sink(self._received)
        client = _Client()
        try:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await client.connect(
                        self._servers,
                        allow_reconnect=False,
                        connect_timeout=2,
                        error_cb=self._on_error,
                        flush_timeout=CONFIRM_TIMEOUT,
                        max_reconnect_attempts=1,
                        name=f"odac {self._url.namespace}",
                        pending_size=PENDING_BYTES,
                        ping_interval=20,
                        reconnect_time_wait=0,
                        user=self._user,
                        password=self._password,
                        token=self._token,
                        tls=self._tls,
                        user_credentials=self._credentials,
                        nkeys_seed=self._nkey,
                    )
            except (Error, OSError, TimeoutError) as error:
                raise BrokerError(str(self._last_error or error) or "no answer") from None
            self.max_message = min(MAX_PAYLOAD, client.max_payload)
            await first_to_end(self._ended(client), self._live(client, sink))
        finally:
            await _close(client)
            sink.cancel()

    async def _ended(self, client: _Client) -> None:
        await client.ended.wait()
        raise BrokerError(str(client.last_error or self._last_error or "the connection ended"))

    async def _live(self, client: Client, sink: _Sink) -> None:
        self._subscriptions.clear()
        self._changed.clear()
        for channel in (*self._wanted, self._marker):
            self._subscriptions[channel] = await client.subscribe(channel, future=sink)
        await self._round_trip(client.publish)
        self._opened()
        await first_to_end(self._send(client.publish), self._confirm(client.publish), self._follow(client, sink))

    async def _follow(self, client: Client, sink: _Sink) -> None:
        while True:
            subscribe, unsubscribe = await self._next_changes()
            for channel in unsubscribe:
                subscription = self._subscriptions.pop(channel, None)
                if subscription is not None:
                    await subscription.unsubscribe()
            for channel in subscribe:
                if channel not in self._subscriptions:
                    self._subscriptions[channel] = await client.subscribe(channel, future=sink)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if "permissions violation" in str(error).lower():
            refused = _REFUSED.search(str(error))
            if refused is not None:
                self._queue.refuse_channel(refused[1], str(error))
            self._dropped(1, str(error))


def _options(scheme: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in OPTIONS:
            raise ConfigurationError(
                f"{scheme}:// URLs have no option {name}; there are namespace, {', '.join(OPTIONS)}"
            )
        if name.startswith("tls_") and scheme != "tls":
            raise ConfigurationError(f"{name}= is an option of tls:// URLs: write tls:// instead of {scheme}://")
        if not Path(value).is_file():
            raise ConfigurationError(f"{name}= of the {scheme}:// URL names {value!r}, which is not a file")
    if "tls_key" in options and "tls_cert" not in options:
        raise ConfigurationError("tls_key= is the key of tls_cert=, which is missing")
    if ("credentials" in options or "nkey" in options) and find_spec("nkeys") is None:
        raise ConfigurationError("credentials= and nkey= need a library: pip install 'nats-py[nkeys]'")
    return options


def _tls(options: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("tls_ca"))
        if "tls_cert" in options:
            # Without a password argument, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(options["tls_cert"], options.get("tls_key"), password="")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls:// cannot use {', '.join(options)}: {error}") from None
    return context


async def _close(client: Client) -> None:
    # close() waits until its buffer is sent, which never happens while the server is suspended.
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await client.close()
    except TimeoutError:
        pass
    # nats-py has no time limit here. Without this, the socket would stay open until the server continues, or, if
    # closing failed, until it is garbage collected.
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()
