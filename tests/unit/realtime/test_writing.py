"""Bare writes: the compiled functions and their reference do the same, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from odac.realtime import writing

Write = Callable[[int, bytes], int]
WriteToAll = Callable[[Any, bytes], list[tuple[Any, int]]]


def _compiled(name: str) -> Any:
    return getattr(pytest.importorskip("odac._speedups", reason="not compiled here: no C compiler"), name)


@pytest.fixture(params=["reference", "compiled"])
def write(request: pytest.FixtureRequest) -> Write:
    return writing.reference_write if request.param == "reference" else _compiled("write")


@pytest.fixture(params=["reference", "compiled"])
def write_to_all(request: pytest.FixtureRequest) -> WriteToAll:
    return writing.reference_write_to_all if request.param == "reference" else _compiled("write_to_all")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        yield here, there


@dataclass(eq=False)
class Member:
    fd: int


def _fill(sock: socket.socket) -> None:
    try:
        while True:
            sock.send(b"x" * 65536)
    except BlockingIOError:
        pass


def test_a_socket_with_room_takes_all(write: Write, pair: tuple[socket.socket, socket.socket]) -> None:
    here, there = pair
    assert write(here.fileno(), b"frame") == 5
    assert there.recv(10) == b"frame"


def test_a_full_socket_takes_nothing(write: Write, pair: tuple[socket.socket, socket.socket]) -> None:
    _fill(pair[0])
    assert write(pair[0].fileno(), b"frame") == 0


def test_a_large_piece_is_taken_in_part(write: Write, pair: tuple[socket.socket, socket.socket]) -> None:
    assert 0 < write(pair[0].fileno(), b"x" * 50_000_000) < 50_000_000


def test_a_gone_peer_counts_as_having_taken_all(write: Write, pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    assert write(pair[0].fileno(), b"frame") == 5


def test_everybody_is_written_to_and_the_rest_is_told(write_to_all: WriteToAll) -> None:
    pairs = [socket.socketpair() for _ in range(4)]
    for here, _ in pairs:
        here.setblocking(False)
    _fill(pairs[1][0])
    pairs[2][1].close()
    members = [Member(here.fileno()) for here, _ in pairs]
    apart = Member(-1)
    try:
        assert write_to_all([apart, *members], b"frame") == [(apart, -1), (members[1], 0)]
        assert pairs[0][1].recv(10) == b"frame"
        assert pairs[3][1].recv(10) == b"frame"
    finally:
        for here, there in pairs:
            here.close()
            there.close()


def test_any_iterable_of_members_will_do(write_to_all: WriteToAll, pair: tuple[socket.socket, socket.socket]) -> None:
    member = Member(pair[0].fileno())
    assert write_to_all({member}, b"a") == []
    assert write_to_all({"id": member}.values(), b"b") == []
    assert write_to_all((), b"c") == []
    assert pair[1].recv(10) == b"ab"


def test_a_member_without_an_fd_is_an_error(write_to_all: WriteToAll) -> None:
    with pytest.raises(AttributeError):
        write_to_all([object()], b"frame")
