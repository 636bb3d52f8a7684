from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

import pytest

from odac.cluster.envelope import Close, Item, Move, RoomMessage
from odac.publishing.addressing import Addressing, Target
from odac.publishing.async_publisher import AsyncPublisher
from odac.publishing.publisher import Publisher
from odac.realtime.audience import EVERYONE, Audience, user_room

Sent = tuple[str, Item, bool | None]


class Recorder(Addressing[Sent]):
    """Returns what it was to send."""

    def _send(self, item: RoomMessage, keep: bool) -> Sent:
        return "send", item, keep

    def _publish(self, item: Close | Move) -> Sent:
        return "publish", item, None


USER = Audience((user_room("7"),))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda to: to.to_room("a", 1), ("send", RoomMessage(Audience(("a",)), 1, b"1"), True)),
        (lambda to: to.to_room("a", 1, keep=False), ("send", RoomMessage(Audience(("a",)), 1, b"1"), False)),
        (lambda to: to.broadcast("x"), ("send", RoomMessage(EVERYONE, 1, b"x"), True)),
        (
            lambda to: to.to("a", "b").excluding("x").within("c").send_binary(b"2", keep=False),
            ("send", RoomMessage(Audience(("a", "b"), ("c",), frozenset({"x"})), 2, b"2"), False),
        ),
        (lambda to: to.user(7).join("r"), ("publish", Move(USER, "r", True), None)),
        (lambda to: to.user(7).leave("r"), ("publish", Move(USER, "r", False), None)),
    ],
)
def test_each_method_hands_one_item_to_the_publisher_and_returns_what_it_returns(
    call: Callable[[Recorder], Sent], expected: Sent
) -> None:
    assert call(Recorder()) == expected


def test_closing_names_the_audience_and_the_code() -> None:
    _, item, _ = Recorder().user(7).close(4001, "out")
    assert isinstance(item, Close)
    assert (item.audience, item.code, item.reason) == (USER, 4001, "out")


def test_a_target_is_not_changed_by_narrowing_it() -> None:
    everyone = Recorder().to("r")
    everyone.excluding("x").within("s")
    _, item, _ = everyone.send(1)
    assert item.audience == Audience(("r",))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda to: to.to(), ValueError),
        (lambda to: to.to("a\n"), ValueError),
        (lambda to: to.to("a").within(""), ValueError),
        (lambda to: to.user(""), ValueError),
        (lambda to: to.user(None), TypeError),
        (lambda to: to.to("a").send(object()), TypeError),
        (lambda to: to.to("a").send_binary("text"), TypeError),
        (lambda to: to.to("a").close(1005), ValueError),
        (lambda to: to.to("a").join(""), ValueError),
    ],
)
def test_a_mistake_is_raised_by_the_call(call: Callable[[Recorder], object], error: type[Exception]) -> None:
    with pytest.raises(error):
        call(Recorder())


async def typed(blocking: Publisher, awaited: AsyncPublisher) -> None:
    """Judged by the type checker alone: what a call returns is the publisher's."""
    assert_type(blocking.to("a"), Target[None])
    blocking.user(7).send(1)
    await assert_type(awaited.broadcast(1), Coroutine[Any, Any, None])  # one that is not awaited is an error
    await awaited.to("a").within("b").close()


def test_only_ids_can_be_excluded() -> None:
    with pytest.raises(TypeError, match=r"excluding\(\) takes ids of connections, .* not int"):
        Recorder().to("a").excluding("x", 5)  # type: ignore[arg-type]
