from __future__ import annotations

import sys

from odac.serving.open_connections import OpenConnections


def test_it_does_what_uvicorn_asks_of_a_set() -> None:
    connections = OpenConnections()
    assert not connections
    one, two = object(), object()
    for each in (one, two, one):
        connections.add(each)
    assert len(connections) == 2
    assert list(connections) == [one, two]
    connections.discard(one)
    connections.discard(one)
    assert one not in connections
    assert two in connections


def test_it_takes_less_memory_than_a_set() -> None:
    each = [object() for _ in range(10_000)]
    connections = OpenConnections()
    for connection in each:
        connections.add(connection)
    grown = set[object]()
    for connection in each:
        grown.add(connection)
    assert sys.getsizeof(connections) < 0.7 * sys.getsizeof(grown)
