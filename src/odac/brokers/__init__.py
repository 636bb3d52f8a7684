"""What carries messages between processes."""

from odac.brokers.base import Broker, Receiver
from odac.brokers.registry import RunningBus, make_broker, make_bus
from odac.cluster.counters import Counters

__all__ = ["Broker", "Counters", "Receiver", "RunningBus", "make_broker", "make_bus"]
