"""What carries messages between processes."""

from odac.brokers.base import Broker, Receiver
from odac.brokers.counters import Counters
from odac.brokers.registry import RunningBus, make_broker, make_bus

__all__ = ["Broker", "Counters", "Receiver", "RunningBus", "make_broker", "make_bus"]
