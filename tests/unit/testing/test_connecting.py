from __future__ import annotations

from odac import Context, Odac
from odac.testing import AsyncTestClient, run


def test_a_connection_is_opened_by_await_and_by_async_with_alike() -> None:
    app = Odac("a secret of the tests, long enough to be one")
    ends: list[int] = []

    @app.route.ws("/hello", token=False)
    def hello(odac: Context) -> None:
        odac.ws.on("close", lambda code, reason: ends.append(code))
        odac.ws.send("hello")

    async def test() -> None:
        async with AsyncTestClient(app) as client:
            opening = client.connect("/hello")
            await client.settle()
            assert app.route.ws_server.client_count == 0  # nothing happens before it is awaited
            kept = await opening
            assert await kept.receive() == "hello"
            async with client.connect("/hello") as ws:
                assert await ws.receive() == "hello"
            assert ends == [1000]
            assert kept.closed is None

    run(test())
