"""Redis 7 or Valkey, one server or a primary with replicas: subscribes to channels, and connects again.

Publishing is in :mod:`odac.brokers.reconnecting`, the connections are in :mod:`odac.brokers.redis_link`.
"""

from __future__ import annotations

from odac.brokers.reconnecting import ReconnectingBroker, first_to_end
from odac.brokers.redis_link import RedisLink, connections
from odac.brokers.send_queue import Queued
from odac.brokers.url import BrokerURL

__all__ = ["RedisBroker"]


class RedisBroker(ReconnectingBroker):
    """``redis://`` and, over TLS, ``rediss://``. The URL's options are redis-py's.

    redis-py's own PubSub is not used: it connects and subscribes again by itself after an error, does not report
    the gap, and in some versions waits forever on a dead connection.

    Args:
        url: of the server.

    Raises:
        ConfigurationError: redis-py does not accept the URL.
    """

    def __init__(self, url: BrokerURL) -> None:
        super().__init__(url)
        self._pool = connections(url.url, url.scheme)

    async def _session(self) -> None:
        link = RedisLink(self._pool, self._arrived, self._refused, self._moved, self._queue, sharded=False)
        self._changed.clear()
        link.subscribe(self._wanted)
        await first_to_end(link.run(), self._follow(link))

    async def _follow(self, link: RedisLink) -> None:
        await link.ready.wait()
        self._opened()
        while True:
            subscribe, unsubscribe = await self._next_changes()
            link.unsubscribe(unsubscribe)
            link.subscribe(subscribe)

    def _refused(self, queued: Queued, error: Exception) -> None:
        self._dropped(queued.messages, f"the server refused it: {error}")

    def _moved(self) -> None:
        raise ConnectionError("the server ended a subscription")
