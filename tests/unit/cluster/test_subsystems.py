"""Subsystems of the library hear themselves in other processes, and what happens to those processes."""

from __future__ import annotations

from odac.cluster.envelope import Beat, Bye, Item, SubsystemMessage, decode
from tests.unit.brokers.fakes import run
from tests.unit.cluster.test_bus import CHANNELS, INTERVAL, OTHER, ROOM, THIRD, Setup


class Notes:
    """A part that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes] | tuple[str, bytes, bytes] | str] = []
        self.says: bytes | None = None

    def received(self, origin: bytes, body: bytes) -> None:
        self.heard.append(("received", origin, body))

    def beat(self) -> bytes | None:
        return self.says

    def seen(self, origin: bytes) -> None:
        self.heard.append(("seen", origin))

    def silent(self, origin: bytes) -> None:
        self.heard.append(("silent", origin))

    def left(self, origin: bytes) -> None:
        self.heard.append(("left", origin))

    def up(self) -> None:
        self.heard.append("up")


async def started() -> tuple[Setup, Notes]:
    setup, notes = await Setup().start(), Notes()
    setup.bus.subsystems.add("notes", notes)
    return setup, notes


def told(setup: Setup) -> list[tuple[str, Item]]:
    return [(channel, item) for channel, item in setup.sent() if isinstance(item, SubsystemMessage)]


def test_what_is_told_goes_to_the_room_to_all_or_to_one() -> None:
    async def scenario() -> None:
        setup, _ = await started()
        setup.bus.subsystems.send_to_room("a", "notes", b"1")
        setup.bus.subsystems.send_to_all("notes", b"2")
        setup.bus.subsystems.send_to(OTHER, "notes", b"3")
        assert told(setup) == [
            (ROOM, SubsystemMessage("notes", b"1")),
            (CHANNELS.control, SubsystemMessage("notes", b"2")),
            (CHANNELS.inbox(OTHER), SubsystemMessage("notes", b"3")),
        ]

    run(scenario())


def test_a_subsystem_gets_only_its_own_messages() -> None:
    async def scenario() -> None:
        setup, notes = await started()
        setup.arrive(ROOM, SubsystemMessage("notes", b"1"), SubsystemMessage("of a later version", b"2"))
        assert notes.heard == [("received", OTHER, b"1")]

    run(scenario())


def test_a_subsystem_is_notified_of_processes() -> None:
    async def scenario() -> None:
        setup, notes = await started()
        subsystems = setup.bus.subsystems
        setup.arrive(CHANNELS.control, Beat(1, setup.clock.now), origin=OTHER)
        setup.arrive(CHANNELS.control, Beat(2, setup.clock.now), origin=THIRD)
        setup.arrive(CHANNELS.control, Beat(3, setup.clock.now), origin=OTHER)
        assert notes.heard == [("seen", OTHER), ("seen", THIRD)]
        assert subsystems.origins == {OTHER, THIRD}
        assert subsystems.healthy
        setup.arrive(CHANNELS.control, Bye(), origin=THIRD)
        for _ in range(4):
            setup.broker.echo()
            setup.tick(INTERVAL)
        assert notes.heard[2:] == [("left", THIRD), ("silent", OTHER)]
        setup.arrive(CHANNELS.control, Beat(4, setup.clock.now), origin=OTHER)
        assert notes.heard[4:] == [("seen", OTHER)]

    run(scenario())


def test_a_heartbeat_carries_the_subsystems_payloads() -> None:
    async def scenario() -> None:
        setup, notes = await started()
        for says in (None, b"7"):
            notes.says = says
            setup.broker.echo()
            before = len(setup.broker.published)
            setup.tick(INTERVAL)
            beats = [decode(payload).items for _, payload, _ in setup.broker.published[before:]]
            assert [[type(item) for item in items] for items in beats] == [
                [Beat] if says is None else [Beat, SubsystemMessage]
            ]
            assert told(setup) == ([] if says is None else [(CHANNELS.control, SubsystemMessage("notes", b"7"))])
        setup.broker.echo()
        assert setup.healthy()
        assert notes.heard == []

    run(scenario())


def test_a_subsystem_is_notified_of_possible_losses() -> None:
    async def scenario() -> None:
        setup, notes = await started()
        setup.bus.on_gap()
        setup.broker.echo()
        setup.tick(INTERVAL)
        assert notes.heard == ["up"]
        setup.broker.echo()
        setup.tick(INTERVAL)
        assert notes.heard == ["up"]
        setup.bus.on_up()
        assert notes.heard == ["up", "up"]

    run(scenario())
