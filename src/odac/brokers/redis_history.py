"""Rooms with history in one Redis or Valkey server."""

from __future__ import annotations

import struct
from typing import Any

from odac.brokers.redis_commands import RedisCommands
from odac.brokers.redis_link import connections
from odac.brokers.redis_scripts import APPEND, ERASE, READ, REVOKE, WRITE_RULES, Script
from odac.brokers.url import BrokerURL
from odac.history.rules import History
from odac.history.store import MAGIC, REVOCATIONS, Appended, Entry, Slice

__all__ = ["RedisHistory", "ScriptedHistory"]


class ScriptedHistory:
    """Implements :class:`odac.history.store.HistoryStore` with the scripts; subclasses connect to the servers.

    Args:
        namespace: the application's.
        publish: the command that publishes on a channel.
    """

    def __init__(self, namespace: str, publish: str) -> None:
        self._rules_key = f"{namespace}.rules"
        self._publish = publish

    async def _run(self, script: Script, keys: tuple[str, ...], *arguments: Any, guarded: bool = True) -> Any:
        raise NotImplementedError

    async def _command(self, key: str, *words: Any) -> Any:
        raise NotImplementedError

    async def append(
        self, channel: str, history: History, origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> Appended:
        """See :class:`odac.history.store.HistoryStore`."""
        found, top = await self._run(
            APPEND,
            _keys(channel),
            epoch,
            history.size,
            history.max_bytes,
            _milliseconds(history),
            origin,
            first,
            self._publish,
            *bodies,
        )
        return Appended(found, top)

    async def read(self, channel: str, history: History, after: int, limit: int) -> Slice:
        """See :class:`odac.history.store.HistoryStore`."""
        answer = await self._run(READ, _keys(channel), after, limit, _milliseconds(history))
        epoch, top, base, found, flat = answer[:5]
        if not epoch:
            return Slice(None, 0, 0)
        first = answer[5]
        entries = tuple(
            Entry(first + index, struct.unpack_from(">Q", each)[0], each[8:]) for index, each in enumerate(found)
        )
        revoked = {flat[i][1:].decode(): int(flat[i + 1]) for i in range(0, len(flat), 2)}
        return Slice(epoch, top, base, entries, revoked)

    async def erase(self, channel: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._run(ERASE, _keys(channel), self._publish, guarded=False)

    async def revoke(self, channel: str, user: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._run(REVOKE, _keys(channel), user, self._publish, REVOCATIONS)

    async def publish(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._command(channel, self._publish, channel, payload)

    async def rules(self, keep: float = 0.0) -> tuple[int, bytes]:
        """See :class:`odac.history.store.HistoryStore`."""
        if keep:
            await self._command(self._rules_key, "PEXPIRE", self._rules_key, int(keep * 1000))
        version, text = await self._command(self._rules_key, "HMGET", self._rules_key, "version", "rules")
        return (int(version), text) if version else (0, b"")

    async def write_rules(self, version: int, text: bytes, keep: float) -> bool:
        """See :class:`odac.history.store.HistoryStore`."""
        return bool(await self._run(WRITE_RULES, (self._rules_key,), version, text, int(keep * 1000), guarded=False))


class RedisHistory(ScriptedHistory):
    """``redis://`` and ``rediss://``.

    Args:
        url: the broker's.

    Raises:
        ConfigurationError: redis-py does not accept the URL.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url.namespace, "PUBLISH")
        self._commands = RedisCommands(connections(url.url, url.scheme), url.address, durable=url.history == "durable")

    async def start(self, wait: float = 2.0) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._commands.start(wait)

    async def stop(self) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        await self._commands.stop()

    async def _run(self, script: Script, keys: tuple[str, ...], *arguments: Any, guarded: bool = True) -> Any:
        return await self._commands.run(script, keys, *arguments, guarded=guarded)

    async def _command(self, key: str, *words: Any) -> Any:
        return await self._commands.command(*words)


def _keys(channel: str) -> tuple[str, ...]:
    # The braces put all keys into the slot of the channel (a channel's name contains no braces).
    return (f"{{{channel}}}:log", f"{{{channel}}}:entries", channel)


def _milliseconds(history: History) -> int:
    return max(1, int(history.ttl * 1000))


assert MAGIC == b"\xc1"  # the scripts write it as \193
