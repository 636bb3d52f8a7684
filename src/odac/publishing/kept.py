"""Sends to rooms with history from outside of the app, by the rules that the app has written into the broker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from odac.brokers.history_registry import make_history
from odac.brokers.url import parse_url
from odac.cluster.channels import Channels
from odac.cluster.envelope import RoomMessage, Unkept
from odac.errors import BrokerError, ConfigurationError
from odac.history.rules import History, RuleBook
from odac.history.store import EPOCH_BYTES, Appended, HistoryStore, Message, StoreAway, encode_message
from odac.history.tops import TOP_AFTER, Tops

__all__ = ["KeptRooms"]

T = TypeVar("T")

RULES_EVERY: Final = 10.0
"""Seconds for which the rules of the broker are cached."""
RETRY: Final = 0.05
"""Seconds between two attempts to reach the store."""
MOST_LOCKS: Final = 1024
"""When there are so many locks, one for each room, those that are not held are dropped."""
LAST_TOPS: Final = 1.0
"""The most seconds that :meth:`KeptRooms.stop` takes to publish the tops of its rooms."""


class KeptRooms:
    """Reads the app's rules from the broker, and appends messages to the histories of rooms.

    Args:
        url: the app's broker.
        timeout: seconds that one message may take.
    """

    def __init__(self, url: str, timeout: float) -> None:
        try:
            self._store: HistoryStore | None = make_history(url, time.time)
        except ConfigurationError:
            self._store = None  # a broker without history
        self._channels = Channels(parse_url(url).namespace)
        self._timeout = timeout
        self._origin = os.urandom(16)
        self._next = 1
        self._rule_book = RuleBook()
        self._read_at: float | None = None
        self._is_started = False
        self._given_up = False  # a call has timed out: further calls fail at once until the store answers
        self._reason = ""
        self._starting = asyncio.Lock()
        self._locks: dict[str, asyncio.Lock] = {}
        self._tops = Tops()
        self._publishing_tops: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Publish the tops of the rooms that were sent to, and disconnect."""
        if self._publishing_tops is not None:
            self._publishing_tops.cancel()
            await asyncio.gather(self._publishing_tops, return_exceptions=True)
            self._publishing_tops = None
        if self._store is not None and self._is_started:
            self._is_started = False
            try:
                async with asyncio.timeout(LAST_TOPS):
                    await self._tops.publish(self._store, asyncio.get_running_loop().time())
            except (BrokerError, TimeoutError):
                pass  # the processes of the app compare the tops once the broker is back
            await self._store.stop()

    async def _publish_tops(self) -> None:
        while self._tops:
            await asyncio.sleep(TOP_AFTER)
            if self._store is not None:
                with contextlib.suppress(BrokerError):
                    await self._tops.publish(self._store, asyncio.get_running_loop().time() - TOP_AFTER)

    async def send_if_kept(self, item: RoomMessage, keep: bool) -> RoomMessage | Unkept | None:
        """Append a message to the history of its room, if it is to be kept and the room has one.

        Returns:
            the item to publish without history; None if the message was appended.

        Raises:
            BrokerError: the broker did not confirm it in time; it may have it all the same.
            ValueError: it is to be kept, and is for several rooms of which one has history, or for members of a second
                room.
        """
        store = self._store
        rooms, within, excluded = item.audience
        if store is None or not (rooms or within):
            return item
        try:
            async with asyncio.timeout(self._timeout):
                rule_book = await self._rules(store)
                if not any(rule_book.of(room) is not None for room in (*rooms, *within)):
                    return item
                if not keep:
                    return Unkept(item.audience, item.opcode, item.payload)
                history = rule_book.of(rooms[0]) if len(rooms) == 1 and not within else None
                if history is None:
                    raise ValueError(
                        "a send to several rooms, or with within(), of which one has history: send to each, or with"
                        " keep=False"
                    )
                body = encode_message(Message(tuple(excluded), item.opcode, item.payload))
                await self._append(store, self._channels.room(rooms[0]), history, body)
        except TimeoutError:
            self._given_up = True
            raise BrokerError(
                f"no confirmation within {self._timeout:g} s ({self._reason or 'no answer'}); the message may have been"
                " stored or not"
            ) from None
        return None

    async def _rules(self, store: HistoryStore) -> RuleBook:
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > RULES_EVERY:
            async with self._starting:
                if not self._is_started:
                    # Even if this call is cancelled meanwhile: then the store connects in the background.
                    self._is_started = True
                    await store.start(0.0)
            version, text = await self._retry(store.rules)
            try:
                self._rule_book = RuleBook.decode(text) if version else RuleBook()
            except ValueError:
                raise BrokerError("the rules in the broker were written by another version of Odac") from None
            self._read_at = now
        return self._rule_book

    def _appended(self, channel: str, done: Appended) -> None:
        loop = asyncio.get_running_loop()
        self._tops.appended(channel, done, loop.time())
        if self._publishing_tops is None or self._publishing_tops.done():
            self._publishing_tops = loop.create_task(self._publish_tops(), name="odac: tops of rooms")

    async def _append(self, store: HistoryStore, channel: str, history: History, body: bytes) -> None:
        # One at a time for each room, because the store takes a number below the last stored one as stored already.
        if len(self._locks) >= MOST_LOCKS:
            self._locks = {name: lock for name, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(channel, asyncio.Lock()):
            number, self._next = self._next, self._next + 1
            done = await self._retry(
                lambda: store.append(channel, history, self._origin, number, [body], secrets.token_bytes(EPOCH_BYTES))
            )
            self._appended(channel, done)

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call the store until it answers; after a call that timed out, only once."""
        while True:
            try:
                answer = await call()
            except StoreAway as error:
                self._reason = str(error)
                if self._given_up:
                    raise
                await asyncio.sleep(RETRY)
            else:
                self._given_up = False
                return answer
