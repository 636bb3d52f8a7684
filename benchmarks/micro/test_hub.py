"""What a message, a membership and a delivery cost in the hub, without any network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.where import Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    null = os.open(os.devnull, os.O_WRONLY)
    loop = asyncio.new_event_loop()
    bench = Bench(loop, null)
    yield bench
    loop.close()
    os.close(null)


@pytest.mark.parametrize("members", [10, 100, 1_000, 10_000])
def test_message_to_a_room(benchmark: BenchmarkFixture, bench: Bench, members: int) -> None:
    for _ in range(members):
        bench.connect().join("room")
    target = bench.to("room")
    bench.hub.delivery.flush()

    def send() -> None:
        target.send({"text": "x" * 50})
        bench.hub.delivery.flush()

    benchmark(send)


def test_message_to_three_overlapping_rooms_of_1000(benchmark: BenchmarkFixture, bench: Bench) -> None:
    for _ in range(1_000):
        connection = bench.connect()
        for room in ("a", "b", "c"):
            connection.join(room)
    target = bench.to("a", "b", "c")
    bench.hub.delivery.flush()

    def send() -> None:
        target.send({"text": "x" * 50})
        bench.hub.delivery.flush()

    benchmark(send)


@pytest.mark.parametrize("rooms", [10, 100_000])
def test_message_to_one_of_many_rooms(benchmark: BenchmarkFixture, bench: Bench, rooms: int) -> None:
    members = [bench.connect() for _ in range(1_000)]
    for number in range(rooms):
        members[number % 1_000].join(f"room-{number}")
    target = bench.to("room-7")
    bench.hub.delivery.flush()

    def send() -> None:
        target.send({"text": "x" * 50})
        bench.hub.delivery.flush()

    benchmark(send)


@pytest.mark.parametrize("members", [10, 10_000])
def test_join_and_leave(benchmark: BenchmarkFixture, bench: Bench, members: int) -> None:
    for _ in range(members):
        bench.connect().join("room")
    connection = bench.connect()
    bench.hub.delivery.flush()

    def join_and_leave() -> None:
        connection.join("room")
        connection.leave("room")

    benchmark(join_and_leave)


def test_echo(benchmark: BenchmarkFixture, bench: Bench) -> None:
    connection = bench.connect()
    connection.on("message", connection.send)
    bench.hub.delivery.flush()
    benchmark(bench.receive, connection)
