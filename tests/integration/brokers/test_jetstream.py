"""Why rooms with history do not work over NATS JetStream: a real server's behaviour that their promises do not allow.

Where a newer server fails one of these tests, ``odac.brokers.history_registry`` refuses NATS for a reason that no longer exists.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from tests.integration.brokers.conftest import started
from tests.integration.brokers.servers import Nats

AGE = 1.0
"""Seconds that the stream keeps a message."""


class JetStream(Nats):
    def command(self) -> list[str]:
        return [*super().command(), "-js", "-sd", str(self.directory)]


@pytest.fixture
def jetstream(short_directory: Path) -> Iterator[JetStream]:
    with started(JetStream, short_directory) as server:
        yield server


async def ask(client: Client, what: str, **fields: Any) -> dict[str, Any]:
    answer = await client.request(f"$JS.API.{what}", json.dumps(fields).encode(), timeout=30)
    return dict(json.loads(answer.data))


def test_a_rooms_last_number_goes_with_its_last_message_and_rooms_are_numbered_together(jetstream: JetStream) -> None:
    """So a client that has everything of a quiet room cannot be told from one that missed what has expired."""

    async def main() -> None:
        client = await nats.connect(jetstream.url)
        published: asyncio.Queue[dict[str, str]] = asyncio.Queue()

        async def arrived(message: Any) -> None:
            published.put_nowait(dict(message.headers))

        try:
            made = await ask(
                client,
                "STREAM.CREATE.kept",
                name="kept",
                subjects=["kept.*"],
                retention="limits",
                storage="memory",
                max_msgs_per_subject=100,
                max_age=int(AGE * 1e9),
                duplicate_window=int(AGE * 1e9),
                num_replicas=1,
                republish={"src": "kept.*", "dest": "out.{{wildcard(1)}}"},
            )
            assert "error" not in made, made
            await client.subscribe("out.*", cb=arrived)
            await client.flush()
            for room in ("a", "b", "a"):  # in one piece, so that none expires meanwhile
                await client.publish(f"kept.{room}", b"x")
            headers = [await asyncio.wait_for(published.get(), 30) for _ in range(3)]
            assert [each["Nats-Sequence"] for each in headers] == ["1", "2", "3"], "all rooms are numbered together"
            assert headers[2]["Nats-Last-Sequence"] == "1", "while a message is kept, the next of its room names it"
            async with asyncio.timeout(30):
                while "error" not in await ask(client, "STREAM.MSG.GET.kept", last_by_subj="kept.a"):
                    await asyncio.sleep(0.02)
            for room in ("a", "new"):  # all of the one has expired, and the other has had none
                await client.publish(f"kept.{room}", b"x")
            headers = [await asyncio.wait_for(published.get(), 30) for _ in range(2)]
            assert [each["Nats-Last-Sequence"] for each in headers] == ["0", "0"], "the server sees no difference"
        finally:
            await client.close()

    asyncio.run(main())
