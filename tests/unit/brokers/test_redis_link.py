from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("redis")

from redis.crc import key_slot

from odac.brokers.redis_link import RedisLink, connections
from odac.brokers.send_queue import Queue


class Setup:
    def __init__(self, *, sharded: bool = False) -> None:
        self.moves = 0
        pool = connections("redis://127.0.0.1:1", "redis")
        self.link = RedisLink(pool, _nothing, _nothing, self._moved, Queue(), sharded=sharded)

    def _moved(self) -> None:
        self.moves += 1

    @property
    def commands(self) -> list[tuple[str, ...]]:
        return self.link._commands


def _nothing(*_: object) -> None: ...


def test_an_answer_to_an_unsubscription_is_no_move_however_often_it_flaps() -> None:
    setup = Setup()
    setup.link.subscribe(["a"])
    for _ in range(3):
        setup.link.unsubscribe(["a"])
        setup.link.subscribe(["a"])
    for _ in range(3):
        setup.link._left("a")
    assert setup.moves == 0
    setup.link._left("a")
    assert setup.moves == 1


def test_what_the_server_ended_is_asked_for_again() -> None:
    setup = Setup()
    setup.link.subscribe(["a"])
    setup.link._left("a")
    setup.link.subscribe(["a"])
    assert setup.commands == [("SUBSCRIBE", "a"), ("SUBSCRIBE", "a")]


def test_commands_name_many_channels_and_those_of_a_cluster_one() -> None:
    plain, sharded = Setup(), Setup(sharded=True)
    channels = [f"c{number}" for number in range(600)]
    for setup in (plain, sharded):
        setup.link.subscribe(channels)
        setup.link.subscribe(channels)
    assert [len(command) - 1 for command in plain.commands] == [500, 100]
    assert sharded.commands == [("SSUBSCRIBE", channel) for channel in channels]


def test_a_share_is_what_is_listened_to_and_nothing_else() -> None:
    setup = Setup(sharded=True)
    setup.link.subscribe(["a", "b"])
    setup.commands.clear()
    setup.link.listen_to({"b", "c"})
    assert setup.commands == [("SUNSUBSCRIBE", "a"), ("SSUBSCRIBE", "c")]


@pytest.mark.parametrize("make", [str, "room {}".format], ids=["digits", "words"])
def test_a_channel_has_no_hash_tag(make: Callable[[int], str]) -> None:
    from odac.cluster.channels import Channels

    names = [Channels().room("{" + make(number) + "}") for number in range(50)]
    assert len({key_slot(name.encode()) for name in names}) > 40
