from __future__ import annotations

from odac.cluster.factory import RunningBus
from odac.cluster.solo import SoloBus
from odac.protocol.message import Prepared
from odac.realtime.audience import EVERYONE
from odac.realtime.ports import Count
from tests.unit.brokers.fakes import run


def test_one_process_is_always_healthy_and_knows_no_others() -> None:
    async def main() -> None:
        bus: RunningBus = SoloBus()
        await bus.start()
        bus.room_opened("a")
        bus.publish(EVERYONE, Prepared(1, b"x"))
        bus.close(EVERYONE, 1000, "", 0.0)
        bus.room_closed("a")
        bus.move(EVERYONE, "a", joins=True)
        assert bus.healthy
        assert bus.processes == 1
        assert await bus.count_others(EVERYONE, 1) == Count(0, 0, 0)
        assert set(bus.counters.as_dict().values()) == {0}
        await bus.stop()

    run(main())
