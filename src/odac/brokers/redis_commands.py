"""Commands to one Redis server over one connection: pipelined, and answered in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import (
    AskError,
    AuthenticationWrongNumberOfArgsError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from odac.brokers.reconnecting import end, first_to_end
from odac.brokers.redis_link import opened
from odac.brokers.redis_scripts import Script
from odac.errors import BrokerError, ConfigurationError
from odac.history.store import StoreAway
from odac.jitter import RANDOM

__all__ = ["DURABLE", "RedisCommands"]

_log: Final = logging.getLogger("odac.broker")

DURABLE: Final = b"durable"
"""The guard if the URL states that the server never loses what it has confirmed: ``?history=durable``."""
GUARD_INTERVAL: Final = 10.0
"""Seconds between two checks of the server's run id: behind some addresses a failover keeps the connection open."""
FIRST_DELAY: Final = 0.05
LONGEST_DELAY: Final = 1.0
ANSWER_TIMEOUT: Final = 5.0
"""Seconds without an answer after which a connection counts as dead."""

_PASSING: Final = (ReadOnlyError, TryAgainError, ClusterDownError)
"""Errors of a failover or of a slot that moves: the command may succeed when it is sent again."""
_PASSING_WORDS: Final = ("LOADING", "BUSY", "NOREPLICAS", "UNBLOCKED", "MASTERDOWN", "READONLY")
_DENIED: Final = (NoPermissionError, AuthenticationWrongNumberOfArgsError)


class RedisCommands:
    """A connection that is opened again when it breaks; pending commands then fail with :exc:`StoreAway`.

    Args:
        pool: makes the connections.
        address: for error messages; without a password.
        durable: the server never loses confirmed writes; its run id is not checked.

    Attributes:
        connects: how often it has connected.
    """

    def __init__(self, pool: ConnectionPool, address: str, *, durable: bool = False) -> None:
        self._pool = pool
        self._address = address
        self._durable = durable
        self._guard = DURABLE if durable else b""
        self._connection: AbstractConnection | None = None
        self._waiting: list[tuple[Any, ...]] = []
        self._work = asyncio.Event()
        self._under_way: deque[asyncio.Future[Any]] = deque()
        self._up = asyncio.Event()
        self._reason = "not connected"
        self._keeper: asyncio.Task[None] | None = None
        self._refused: ConfigurationError | None = None

    async def start(self, wait: float = 2.0) -> None:
        """Begin to connect, and wait at most ``wait`` seconds for the connection.

        Raises:
            ConfigurationError: the server's run id cannot be read, so that a failover could not be detected.
        """
        self._keeper = asyncio.get_running_loop().create_task(self._keep(), name=f"odac: history in {self._address}")
        try:
            async with asyncio.timeout(wait):
                await self._up.wait()
        except TimeoutError:
            pass
        if self._refused is not None:
            await self.stop()
            raise self._refused

    async def stop(self) -> None:
        """Disconnect."""
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            await end(keeper)

    async def run(
        self, script: Script, keys: tuple[str, ...], *arguments: Any, guarded: bool = True, asking: bool = False
    ) -> Any:
        """Run a script; the guard of the connection that carries it is its first argument.

        Args:
            script: loaded when the server does not know it.
            keys: of the script.
            arguments: of the script.
            guarded: whether the guard goes in front of them.
            asking: the slot is moving to this server: another server answered with ASK.

        Raises:
            StoreAway: there is no connection, it broke, or the server is busy: retry later.
            AskError: the slot belongs to another server.
            BrokerError: the server refused the command.
        """
        guard = (self._guard,) if guarded else ()
        try:
            return await self.command("EVALSHA", script.name, len(keys), *keys, *guard, *arguments, asking=asking)
        except NoScriptError:
            return await self.command("EVAL", script.source, len(keys), *keys, *guard, *arguments, asking=asking)

    async def command(self, *words: Any, asking: bool = False) -> Any:
        """Run a command; see :meth:`run`."""
        if self._refused is not None:
            raise BrokerError(str(self._refused))
        if self._connection is None:
            raise StoreAway(f"{self._address}: {self._reason}")
        if asking:
            self._put(("ASKING",))
        try:
            return await self._put(words)
        except (NoScriptError, AskError):
            raise
        except ResponseError as error:
            if isinstance(error, _PASSING) or str(error).startswith(_PASSING_WORDS):
                raise StoreAway(f"{self._address}: {error}") from None
            raise BrokerError(f"{self._address}: the server refused the command: {error}") from None

    def _put(self, words: tuple[Any, ...]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_look_at)
        self._waiting.append(words)
        self._under_way.append(future)
        self._work.set()
        return future

    # The owner of the connection

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            try:
                async with opened(self._pool) as connection:
                    await self._greet(connection)
                    delay = FIRST_DELAY
                    self._connection = connection
                    self._up.set()
                    await first_to_end(self._write(connection), self._read(connection), self._look_after())
            except ConfigurationError as error:
                self._refused = error
                self._up.set()
                return
            except Exception as error:
                # Whatever it is, the next connection may work; no other task would notice that this one has ended.
                if not isinstance(error, (RedisError, OSError, TimeoutError, BrokerError)):
                    _log.exception(
                        "%s: a connection for rooms with history failed; the next one follows", self._address
                    )
                self._reason = str(error) or type(error).__name__
            finally:
                self._connection = None
                self._fail()
            await asyncio.sleep(delay * RANDOM.uniform(0.5, 1))
            delay = min(2 * delay, LONGEST_DELAY)

    def _fail(self) -> None:
        failed, self._under_way = self._under_way, deque()
        self._waiting.clear()
        for future in failed:
            if not future.done():
                future.set_exception(StoreAway(f"{self._address}: {self._reason}"))

    async def _greet(self, connection: AbstractConnection) -> None:
        if self._durable:
            return
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await connection.send_command("INFO", "server", check_health=False)
            try:
                answer: Any = await connection.read_response()
            except _DENIED as error:
                raise self._no_run_id(str(error)) from None
            except ResponseError as error:
                if str(error).startswith(_PASSING_WORDS):
                    raise
                raise self._no_run_id(str(error)) from None
        self._guard = self._run_id(answer)

    def _run_id(self, info: bytes) -> bytes:
        for line in info.splitlines():
            name, _, value = line.partition(b":")
            if name == b"run_id" and value.strip():
                return value.strip()
        raise self._no_run_id("INFO contains no run_id")

    def _no_run_id(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._address}: rooms with history need the server's run id, to detect a failover that lost messages,"
            f" and it cannot be read ({why}): allow this user the command INFO; or, if the server never loses what it"
            " has confirmed, write ?history=durable in the URL"
        )

    async def _write(self, connection: AbstractConnection) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            waiting, self._waiting = self._waiting, []
            await connection.send_packed_command(connection.pack_commands(waiting), check_health=False)

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            answer: Any
            try:
                answer = await connection.read_response()
            except ResponseError as error:
                answer = error
            future = self._under_way.popleft()
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _look_after(self) -> None:
        """Read the run id regularly; close the connection if the answer does not arrive in time."""
        while True:
            await asyncio.sleep(GUARD_INTERVAL if not self._under_way else ANSWER_TIMEOUT / 5)
            async with asyncio.timeout(ANSWER_TIMEOUT):
                if self._durable:
                    await self._put(("PING",))
                    continue
                guard = self._run_id(await self._put(("INFO", "server")))
            if guard != self._guard:
                raise StoreAway("another server answers at this address now")


def _look_at(future: asyncio.Future[Any]) -> None:
    # The caller may have been cancelled.
    if not future.cancelled():
        future.exception()
