"""An app's figures in Prometheus' form: ``pip install "odac[metrics]"``."""

from __future__ import annotations

from collections.abc import Iterator

from odac.app import Odac
from odac.errors import ConfigurationError

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError:
    raise ConfigurationError('odac.metrics needs prometheus_client: pip install "odac[metrics]"') from None

__all__ = ["OdacCollector"]

_HELP = {
    "connections": "open connections of this process",
    "direct_connections": "open connections of this process on the direct lane",
    "rooms": "rooms with members in this process",
    "healthy": "1 while messages reach the other processes and the process accepts connections",
    "processes": "processes known on the broker, this one included",
    "overflows": "connections closed with 1013 because they read too slowly",
    "dropped_room_messages": "room messages dropped for slow readers (overflow='drop_oldest')",
    "broker_published": "messages handed to the broker",
    "broker_received": "messages of other processes delivered here",
    "broker_dropped": "messages that the broker did not get",
    "broker_lost": "messages of other processes that did not arrive here, as far as later ones showed it",
    "broker_late": "envelopes that arrived after a newer one and were not delivered",
    "history_sent": "messages sent to rooms with history",
    "history_failed": "messages to rooms with history that the broker did not accept",
    "history_reads": "times that messages were read from the broker",
    "history_rereads": "reads that were repeated because too many messages arrived meanwhile",
    "history_reading": "reads from the broker that are under way",
    "history_replayed": "messages sent to members that joined or came back",
    "history_recovered": "members that came back and missed nothing",
    "history_not_recovered": "members that came back and were notified that messages may be missing",
    "history_over_budget": "recoveries that a connection's or a session's budget did not allow",
    "history_gaps": "gaps that members were notified of",
    "history_rooms": "rooms with history that have members here",
    "history_clients": "clients that this process knows by their names",
    "history_sessions": "sessions whose recoveries are counted against their budgets",
    "history_catching_up": "members that are sent what they missed",
    "history_cache_bytes": "bytes of the last messages that are kept here",
    "history_waiting": "messages that wait for the broker",
    "history_waiting_bytes": "bytes of the messages that wait for the broker",
    "history_bytes": "bytes of the messages that memory:// keeps",
    "history_evicted": "rooms whose messages memory:// dropped for lack of space",
    "presence_rooms": "rooms whose people this process knows",
    "presence_connections": "connections that are listed in rooms with presence",
    "presence_away": "people who are listed after their last connection ended, because they may come back",
    "presence_garbage": "presence messages of other processes that no process of this version can have sent",
    "broker_garbage": "payloads that no process of this version can have published",
    "broker_outages": "times that the connection to the other processes was lost",
}
_LIMIT = "limit_"
_GAUGES = frozenset(
    [
        "connections",
        "direct_connections",
        "rooms",
        "healthy",
        "processes",
        "history_rooms",
        "history_clients",
        "history_sessions",
        "history_reading",
        "history_catching_up",
        "history_cache_bytes",
        "history_waiting",
        "history_waiting_bytes",
        "history_bytes",
        "presence_rooms",
        "presence_connections",
        "presence_away",
    ]
)


class OdacCollector(Collector):
    """Reads an app's figures when Prometheus asks: ``REGISTRY.register(OdacCollector(app))``.

    It has no counters of its own, and adds no work to a message.

    Args:
        app: the app.
        prefix: of the metrics' names.
    """

    def __init__(self, app: Odac, prefix: str = "odac") -> None:
        self._app = app
        self._prefix = prefix

    def collect(self) -> Iterator[Metric]:
        """See :meth:`prometheus_client.registry.Collector.collect`."""
        limits = CounterMetricFamily(
            f"{self._prefix}_limit_hits", "how often each of Limits was met, by its name", labels=["limit"]
        )
        for name, value in self._app.figures().items():
            if name.startswith(_LIMIT):
                limits.add_metric([name.removeprefix(_LIMIT)], value)
                continue
            family = GaugeMetricFamily if name in _GAUGES else CounterMetricFamily
            yield family(f"{self._prefix}_{name}", _HELP[name], value=value)
        yield limits
