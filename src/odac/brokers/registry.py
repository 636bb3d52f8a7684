"""From a URL to a broker. The client libraries are optional and imported when their URL is used."""

from __future__ import annotations

from importlib import import_module
from typing import Final, Protocol, runtime_checkable

from odac.brokers.base import Broker
from odac.brokers.url import BrokerURL, parse_url
from odac.cluster.counters import Counters
from odac.cluster.solo import SoloBus
from odac.errors import ConfigurationError
from odac.realtime.ports import Bus, LocalHub

__all__ = ["RunningBus", "make_broker", "make_bus", "reaches_others"]

# Scheme: module, factory in it, pip extra.
_OPTIONAL: Final = {
    "local": ("odac.brokers.local", "LocalBroker", "local"),
    "redis": ("odac.brokers.redis", "RedisBroker", "redis"),
    "rediss": ("odac.brokers.redis", "RedisBroker", "redis"),
    "redis+cluster": ("odac.brokers.redis_cluster", "RedisClusterBroker", "redis"),
    "rediss+cluster": ("odac.brokers.redis_cluster", "RedisClusterBroker", "redis"),
    "nats": ("odac.brokers.nats", "NatsBroker", "nats"),
    "tls": ("odac.brokers.nats", "NatsBroker", "nats"),
}
_SUPPORTED: Final = "memory://, local://, redis://, rediss://, redis+cluster://, rediss+cluster://, nats://"


@runtime_checkable
class RunningBus(Bus, Protocol):
    """A bus as the app holds it: with a life and with counters."""

    @property
    def counters(self) -> Counters:
        """What was published, received and lost."""
        ...

    @property
    def processes(self) -> int:
        """How many processes are known to be there, this one included."""
        ...

    async def start(self, wait: float = 2.0) -> None:
        """Connect; wait so many seconds at most for it."""
        ...

    async def stop(self) -> None:
        """Say goodbye and disconnect."""
        ...


def make_broker(url: str) -> Broker:
    """Return the broker for a URL, not yet started.

    Raises:
        ConfigurationError: the URL is of no supported scheme, is malformed, or its client library is not installed.
    """
    return _make(parse_url(url))


def make_bus(url: str, hub: LocalHub) -> RunningBus:
    """Return the bus for a URL, to be started on the event loop that the hub lives on.

    Raises:
        ConfigurationError: as :func:`make_broker`.
    """
    parsed = parse_url(url)
    if not _shared(parsed):
        return SoloBus(hub)
    # An app in one process, which most are at first, starts without them.
    from odac.cluster.bus import BrokerBus
    from odac.cluster.channels import Channels

    return BrokerBus(_make(parsed), hub, Channels(parsed.namespace))


def reaches_others(url: str) -> bool:
    """Whether what is published on this URL leaves the process.

    Raises:
        ConfigurationError: the URL is malformed.
    """
    return parse_url(url).scheme != "memory"


def _shared(url: BrokerURL) -> bool:
    return url.scheme != "memory" or url.address != "memory://"


def _make(url: BrokerURL) -> Broker:
    if url.scheme == "memory":
        from odac.brokers.memory import MemoryBroker

        return MemoryBroker(url.address.removeprefix("memory://") or f"private-{id(url)}")
    if "sentinel" in url.scheme:
        raise ConfigurationError(
            "Redis Sentinel is not supported: give redis:// an address that always leads to the master, such as a proxy's that"
            " asks each server for its role, or use redis+cluster://"
        )
    known = _OPTIONAL.get(url.scheme)
    if known is None:
        raise ConfigurationError(f"no broker for {url.scheme}:// URLs: use one of {_SUPPORTED}")
    module, factory, extra = known
    try:
        make = getattr(import_module(module), factory)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("odac"):
            raise
        raise ConfigurationError(f'{url.scheme}:// needs {error.name}: pip install "odac[{extra}]"') from None
    broker: Broker = make(url)
    return broker
