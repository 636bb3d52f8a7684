"""``odac run --workers N``: one port, several processes, and messages to the clients of every process."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from odac import AsyncPublisher
from tests.integration.brokers.servers import Server
from tests.integration.running import DEADLINE, SECRET, Running, until

pytestmark = pytest.mark.slow

T = TypeVar("T")

APP = """
import os
from odac import Limits, Odac

app = Odac(limits=Limits(drain_timeout=2, close_timeout=2))

@app.route.ws("/talk", token=False)
def talk(odac):
    odac.ws.join("all")
    odac.ws.send(os.getpid())
    odac.ws.on("message", lambda data: odac.ws.to("all").send(data))

@app.route.ws("/safe")
def safe(odac):
    odac.ws.send(os.getpid())
"""


_opened: list[ClientConnection] = []


def perform(scene: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, and close what it has opened however it ends."""

    async def main() -> T:
        try:
            return await scene
        finally:
            closing = [client.close() for client in _opened]
            _opened.clear()
            await asyncio.gather(*closing)

    return asyncio.run(main())


async def open_many(running: Running, count: int, path: str = "/talk") -> list[ClientConnection]:
    url = f"ws{running.url.removeprefix('http')}{path}"
    gate = asyncio.Semaphore(20)

    async def one() -> ClientConnection:
        async with gate:
            client = await connect(url, open_timeout=DEADLINE, close_timeout=DEADLINE)
        _opened.append(client)
        return client

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def pids_of(clients: list[ClientConnection]) -> list[int]:
    async with asyncio.timeout(DEADLINE):
        return [int(await client.recv()) for client in clients]


async def one_of_each(running: Running, workers: int = 2) -> dict[int, ClientConnection]:
    """A connection to each worker, by its process id."""
    found: dict[int, ClientConnection] = {}
    async with asyncio.timeout(DEADLINE):
        while len(found) < workers:
            [client] = await open_many(running, 1)
            [pid] = await pids_of([client])
            if pid in found:
                await client.close()
            else:
                found[pid] = client
    return found


async def reaches(sender: ClientConnection, receivers: list[ClientConnection]) -> None:
    """Whether what one sends arrives at all others; again and again, because a new subscription takes its time."""

    async def listen(client: ClientConnection) -> None:
        while await client.recv() != "hello":
            pass

    waiting = [asyncio.create_task(listen(client)) for client in receivers]
    async with asyncio.timeout(DEADLINE):
        while waiting:
            await sender.send('"hello"')
            done, _ = await asyncio.wait(waiting, timeout=0.1)
            waiting = [task for task in waiting if task not in done]
            for task in done:
                task.result()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Ended, and nobody has asked how: an orphan's new parent does that in its own time.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def code_of(client: ClientConnection) -> int:
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(DEADLINE):
            while True:
                await client.recv()
    assert client.close_code is not None
    return client.close_code


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers for the tests that leave them alone."""
    with Running(tmp_path_factory.mktemp("two"), APP, "--workers", "2") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.text


def test_it_says_so(running: Running) -> None:
    assert "2 workers (Ctrl-C stops it)" in running.text
    assert running.text.count("Ctrl-C") == 1
    assert "broker         local:///" in running.text
    assert "No secret" not in running.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections over sockets that share a port")
@pytest.mark.parametrize("workers", [2, 4])
def test_connections_are_spread_evenly(running: Running, tmp_path: Path, workers: int, record_property: object) -> None:
    async def main(running: Running) -> Counter[int]:
        clients = await open_many(running, 100 * workers)
        return Counter(await pids_of(clients))

    if workers == 2:
        shares = perform(main(running))
    else:
        with Running(tmp_path, APP, "--workers", str(workers)) as more:
            shares = perform(main(more))
            assert more.stop() == 0
    total = 100 * workers
    print(f"{total} connections on {workers} workers: {sorted(shares.values())}")
    assert len(shares) == workers
    # The kernel's hash is as good as chance: five standard deviations are passed once in two million runs.
    expected = total / workers
    deviation = (total * (1 / workers) * (1 - 1 / workers)) ** 0.5
    assert all(abs(share - expected) < 5 * deviation for share in shares.values()), shares


def test_every_worker_reaches_every_other(running: Running) -> None:
    async def main() -> None:
        clients = await open_many(running, 16)
        pids = await pids_of(clients)
        assert len(set(pids)) == 2
        senders = [clients[pids.index(pid)] for pid in set(pids)]
        for sender in senders:
            await reaches(sender, clients)
        for number, sender in enumerate(senders):
            await sender.send(json.dumps({"from": number}))
            async with asyncio.timeout(DEADLINE):
                for client in clients:
                    while (message := await client.recv()) == "hello":
                        pass
                    assert json.loads(message) == {"from": number}

    perform(main())


def test_publishing_from_the_command_line(running: Running) -> None:
    url = running.line(r"broker +(local://\S+)")[1]

    async def main() -> None:
        first, second = (await one_of_each(running)).values()
        more = await open_many(running, 6)
        await pids_of(more)
        clients = [first, second, *more]
        for client in (first, second):
            await reaches(client, clients)
        for arguments in (["all", '{"text": "to a room"}'], ["--broadcast", '{"text": "to everybody"}']):
            publisher = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "odac", "publish", url, *arguments, stderr=subprocess.PIPE
            )
            _, said = await publisher.communicate()
            assert (publisher.returncode, said) == (0, b"")
            async with asyncio.timeout(DEADLINE):
                for client in clients:
                    while (message := await client.recv()) == "hello":
                        pass
                    assert json.loads(message) == json.loads(arguments[-1])

    perform(main())


@pytest.mark.parametrize("source", ["environment", "none", "app"])
def test_a_token_of_one_worker_is_valid_at_every_other(tmp_path: Path, source: str) -> None:
    code = APP.replace("Odac(", f"Odac(secret={SECRET!r}, ") if source == "app" else APP
    environment = {"ODAC_SECRET": SECRET if source == "environment" else ""}

    async def main(running: Running) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
        connection.request("GET", "/odac/token")
        answer = connection.getresponse()
        token = json.loads(answer.read())["token"]
        cookie = str(answer.getheader("set-cookie")).partition(";")[0]
        connection.close()
        pids = set()
        for _ in range(16):
            async with connect(
                f"ws{running.url.removeprefix('http')}/safe",
                subprotocols=[f"odac-token-{token}"],  # type: ignore[list-item]
                additional_headers={"Cookie": cookie},
            ) as client:
                pids.add(await client.recv())
        assert len(pids) == 2

    with Running(tmp_path, code, "--workers", "2", environment=environment) as running:
        perform(main(running))
        assert running.stop() == 0
        assert ("No secret is set" in running.text) == (source == "none")


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    async def main(running: Running) -> None:
        before = await one_of_each(running)
        victim, survivor = before
        os.kill(victim, signal.SIGKILL)
        assert await code_of(before[victim]) == 1006
        running.line(rf"worker {victim} was ended by SIGKILL and is replaced")
        after = await one_of_each(running)
        assert survivor in after
        assert victim not in after
        # Its connections went on, and it reaches the new worker's clients.
        await reaches(before[survivor], list(after.values()))
        new = next(client for pid, client in after.items() if pid != survivor)
        await reaches(new, [before[survivor]])

    with Running(tmp_path, APP, "--workers", "2") as running:
        perform(main(running))
        assert running.stop() == 0


def test_a_worker_with_a_stop_signal_drains_and_is_replaced(tmp_path: Path) -> None:
    async def main(running: Running) -> None:
        before = await one_of_each(running)
        leaver = next(iter(before))
        os.kill(leaver, signal.SIGTERM)
        assert await code_of(before[leaver]) == 1001
        after = await one_of_each(running)
        assert leaver not in after

    with Running(tmp_path, APP, "--workers", "2") as running:
        perform(main(running))
        assert running.stop() == 0


def test_attempts_to_replace_a_worker_come_less_and_less_often(tmp_path: Path) -> None:
    """While one place is empty, its connections go to the other."""
    broken = tmp_path / "broken"
    source = f"import os\nif os.path.exists({str(broken)!r}):\n    raise RuntimeError('the disk is full')\n" + APP

    async def main(running: Running) -> None:
        before = await one_of_each(running)
        victim, survivor = before
        broken.touch()
        os.kill(victim, signal.SIGKILL)
        running.line("the next attempt is in 0.5 s")
        running.line("app cannot be imported: RuntimeError: the disk is full")
        running.line("the next attempt is in 1 s")
        clients = await open_many(running, 16)
        assert set(await pids_of(clients)) == {survivor}
        running.line("the next attempt is in 2 s")
        broken.unlink()
        after = await one_of_each(running)
        assert survivor in after

    with Running(tmp_path, source, "--workers", "2") as running:
        perform(main(running))
        assert running.stop() == 0
        assert "Traceback" not in running.text


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        (
            "from odac import Odac\napp = Odac()\napp.route.use('x').ws('/', print)",
            "uses the middleware 'x', which does not exist",
        ),
        ("import os\nos._exit(7)", "a worker ended with exit code 7 before it served"),
        ("from odac import Odac\napp = Odac(broker='redis:x')", "the broker's URL has no scheme"),
    ],
)
def test_an_app_that_cannot_start(tmp_path: Path, source: str, sentence: str) -> None:
    with Running(tmp_path, source, "--workers", "2", ready=False) as running:
        assert running.wait() == 1
        assert running.text.count(sentence) == 1, running.text
        assert "Traceback" not in running.text


def test_sighup_replaces_all_without_dropping_the_port(tmp_path: Path) -> None:
    async def main(running: Running) -> None:
        old = await one_of_each(running)
        stop = asyncio.Event()
        opened = 0

        async def keep_connecting() -> None:
            nonlocal opened
            while not stop.is_set():
                [client] = await open_many(running, 1)  # raises when it is refused
                with contextlib.suppress(ConnectionClosed):
                    await client.recv()
                await client.close()
                opened += 1

        attempts = [asyncio.create_task(keep_connecting()) for _ in range(4)]
        running.signal(signal.SIGHUP)
        await asyncio.to_thread(running.line, "all workers are new")
        stop.set()
        await asyncio.gather(*attempts)
        assert opened
        assert [await code_of(client) for client in old.values()] == [1001, 1001]
        new = await one_of_each(running)
        assert not set(new) & set(old)
        until(lambda: not any(map(is_there, old)), "the old workers have ended")
        # What cannot start does not take the place of what runs.
        (running.folder / "app.py").write_text("broken(")
        running.signal(signal.SIGHUP)
        await asyncio.to_thread(running.line, "a new worker cannot start, so the old ones keep running: .*SyntaxError")
        for client in new.values():
            await reaches(client, list(new.values()))

    with Running(tmp_path, APP, "--workers", "2") as running:
        perform(main(running))
        assert running.stop() == 0


def test_sigterm_drains_all(tmp_path: Path) -> None:
    async def main(running: Running) -> list[int]:
        clients = await open_many(running, 32)
        pids = set(await pids_of(clients))
        running.signal(signal.SIGTERM)
        assert {await code_of(client) for client in clients} == {1001}
        return list(pids)

    with Running(tmp_path, APP, "--workers", "2") as running:
        directory = Path(running.line(r"broker +local://(\S+)")[1])
        assert directory.exists()
        pids = perform(main(running))
        assert running.wait() == 0
        assert not any(map(is_there, pids))
        assert not directory.exists()
        assert "Traceback" not in running.text


STUBBORN = (
    APP
    + """
@app.route.ws("/stubborn", token=False)
async def stubborn(odac):
    import asyncio
    odac.ws.send(os.getpid())
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass
"""
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_all_at_once(tmp_path: Path, number: signal.Signals) -> None:
    async def main(running: Running) -> list[int]:
        clients = await open_many(running, 8, "/stubborn")
        pids = set(await pids_of(clients))
        running.signal(number)
        assert {await code_of(client) for client in clients} == {1001}
        running.signal(number)
        return list(pids)

    with Running(tmp_path, STUBBORN, "--workers", "2") as running:
        pids = perform(main(running))
        assert running.wait(5) == 128 + number
        assert not any(map(is_there, pids))
        assert "Traceback" not in running.text


def test_workers_do_not_outlive_the_process_that_started_them(tmp_path: Path) -> None:
    async def main(running: Running) -> list[int]:
        clients = await open_many(running, 8)
        pids = set(await pids_of(clients))
        running.process.kill()
        assert {await code_of(client) for client in clients} == {1001}
        return list(pids)

    with Running(tmp_path, APP, "--workers", "2") as running:
        pids = perform(main(running))
        until(lambda: not any(map(is_there, pids)), "the workers have ended")


def test_a_port_that_others_share_is_in_use(running: Running, tmp_path: Path) -> None:
    """Sockets that share a port would let a second server join the first without a word."""
    for workers in ("1", "2"):
        with Running(tmp_path, APP, "--workers", workers, "--port", str(running.port), ready=False) as second:
            assert second.wait() == 1
            assert f"port {running.port} on 127.0.0.1 is in use" in second.text


@pytest.mark.parametrize("how", ["app", "environment"])
def test_workers_that_cannot_reach_one_another(tmp_path: Path, how: str) -> None:
    source = APP.replace("Odac(", "Odac(broker='memory://', ") if how == "app" else APP
    environment = {"ODAC_BROKER": "memory://"} if how == "environment" else {}
    with Running(tmp_path, source, "--workers", "2", environment=environment) as running:
        running.line("messages of one worker do not reach the clients of the others")
        assert running.stop() == 0


def test_the_broker_of_the_command_line_comes_first(tmp_path: Path) -> None:
    source = APP.replace("Odac(", "Odac(broker='memory://', ")

    async def main(running: Running) -> None:
        clients = await one_of_each(running)
        await reaches(next(iter(clients.values())), list(clients.values()))

    with Running(tmp_path, source, "--workers", "2", "--broker", "local://") as running:
        perform(main(running))
        assert running.stop() == 0


@pytest.mark.parametrize("value", [None, "set"])
def test_the_environment_of_the_workers_is_the_users(
    tmp_path: Path, servers: Callable[[str], Server], value: str | None
) -> None:
    """An app that reads $ODAC_BROKER itself, with another default, gets that default, and is reached over it."""
    url = servers("redis").url
    source = APP.replace("Odac(", f"Odac(broker=os.environ.get('ODAC_BROKER', {url!r}), ") + (
        # In one write, so that the lines of two workers do not mix.
        "os.write(1, f'ODAC_BROKER is {os.environ.get(\"ODAC_BROKER\")}\\n'.encode())\n"
    )
    environment = {} if value is None else {"ODAC_BROKER": f"{url}?namespace=mine"}
    with Running(tmp_path, source, "--workers", "2", environment=environment) as running:
        running.line(f"ODAC_BROKER is {re.escape(str(environment.get('ODAC_BROKER')))}$", times=2)

        async def main() -> None:
            clients = list((await one_of_each(running)).values())
            await reaches(clients[0], clients)
            async with AsyncPublisher(environment.get("ODAC_BROKER", url)) as publisher:
                await publisher.to_room("all", "from outside")
            for client in clients:
                async with asyncio.timeout(DEADLINE):
                    while await client.recv() != "from outside":
                        pass

        perform(main())
        assert running.stop() == 0


def test_a_publisher_within_a_worker_finds_the_workers_broker(tmp_path: Path) -> None:
    source = APP + (
        "import odac as library\n"
        "@app.route.ws('/publish', token=False)\n"
        "async def publish(odac):\n"
        "    async with library.AsyncPublisher() as publisher:\n"
        "        await publisher.to_room('all', 'from a publisher')\n"
    )
    with Running(tmp_path, source, "--workers", "2") as running:

        async def main() -> None:
            clients = list((await one_of_each(running)).values())
            await reaches(clients[0], clients)
            await open_many(running, 1, "/publish")
            for client in clients:
                async with asyncio.timeout(DEADLINE):
                    while await client.recv() != "from a publisher":
                        pass

        perform(main())
        assert running.stop() == 0


def test_reload_with_workers(tmp_path: Path) -> None:
    async def main(running: Running) -> None:
        old = await one_of_each(running)
        (tmp_path / "app.py").write_text(APP.replace("os.getpid()", "-os.getpid()"))
        assert [await code_of(client) for client in old.values()] == [1001, 1001]
        new = await one_of_each(running)
        assert all(pid < 0 for pid in new)

    with Running(tmp_path, APP, "--workers", "2", "--reload") as running:
        perform(main(running))
        assert running.stop() == 0
        assert "Traceback" not in running.text


def test_a_shared_unix_socket(tmp_path: Path) -> None:
    from websockets.sync.client import unix_connect

    path = tmp_path / "s"
    with Running(tmp_path, APP, "--workers", "2", "--uds", str(path)) as running:
        with unix_connect(str(path), "ws://localhost/talk") as client:
            assert int(client.recv(DEADLINE)) != running.pid
        assert running.stop() == 0
        assert not path.exists()
