"""From a broker's URL to its history store."""

from __future__ import annotations

from collections.abc import Callable

from odac.brokers.memory import is_away, publish_to_exchange
from odac.brokers.url import BrokerURL, parse_url
from odac.config import Limits
from odac.errors import ConfigurationError
from odac.history.memory_store import MemoryStore, Shared, shared_rings
from odac.history.store import HistoryStore

__all__ = ["make_history"]

NO_JETSTREAM = (
    "rooms with history do not work over nats://: NATS core keeps nothing, and JetStream numbers the messages of many"
    " rooms together, forgets a room's last number with its last message and has no limit of bytes for a room, so that"
    " what a client missed would be guessed; use redis:// or redis+cluster:// for this app, or local:// on one machine"
)


def make_history(url: str, clock: Callable[[], float], limits: Limits | None = None) -> HistoryStore:
    """Return the store for a broker's URL, not yet started.

    Args:
        url: the broker's.
        clock: seconds since 1970, for the store in this process's memory.
        limits: the app's: ``history_bytes`` bounds logs that are kept on this machine. None keeps the present bound.

    Raises:
        ConfigurationError: this broker has no history, or the URL is wrong.
    """
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        name = parsed.address.removeprefix("memory://")
        shared = shared_rings(name) if name else Shared(clock)
        if limits is not None:
            shared.rings.max_bytes = limits.history_bytes
        if not name:
            return MemoryStore(shared)
        return MemoryStore(
            shared,
            lambda channel, payload: publish_to_exchange(name, channel, payload),
            lambda: is_away(name),
        )
    if parsed.scheme in {"nats", "tls"}:
        raise ConfigurationError(NO_JETSTREAM)
    return _remote(parsed, limits)


def _remote(url: BrokerURL, limits: Limits | None) -> HistoryStore:
    # Imported here: the client libraries are optional, and making the broker has already reported a missing one.
    if url.scheme == "local":
        from odac.brokers.local_history import LocalHistory

        return LocalHistory(url, None if limits is None else limits.history_bytes)
    if url.scheme.endswith("+cluster"):
        from odac.brokers.redis_cluster_history import RedisClusterHistory

        return RedisClusterHistory(url)
    if url.scheme in {"redis", "rediss"}:
        from odac.brokers.redis_history import RedisHistory

        return RedisHistory(url)
    raise ConfigurationError(f"rooms with history do not work over {url.scheme}://: use redis:// or local://")
