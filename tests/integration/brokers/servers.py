"""Real brokers for the tests, on ports of their own, that can be stopped, restarted and frozen."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import pytest

START_TIMEOUT = 30.0


_held: list[socket.socket] = []


@atexit.register
def _release() -> None:
    while _held:
        _held.pop().close()


def free_port() -> int:
    """A port that no other program gets until these tests end, also while its server is stopped.

    A socket that is bound to the port, and does not listen, keeps it. Servers set SO_REUSEADDR, and so does it: Linux
    lets several such sockets bind one port of an address as long as only one listens. A program that asks the system
    for any free port is not given it, nor is a connection; and a client that tries to reconnect is not connected to
    itself, as it might be from the ports that the system gives to connections.
    """
    while True:
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = random.randrange(20_000, 32_000)
        try:
            with socket.socket() as probe:  # without SO_REUSEADDR: fails if any socket has the port, bound or listening
                probe.bind(("127.0.0.1", port))
            holder.bind(("127.0.0.1", port))
        except OSError:
            holder.close()
            continue
        _held.append(holder)
        return port


def program(name: str) -> str:
    """The path of a server program. Without it tests are skipped, but in CI they fail, because a skip would not be noticed."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing; install it with apt-get install {name}")
        pytest.skip(f"{name} is not installed")
    return found


def until(condition: Callable[[], bool], what: str, timeout: float = START_TIMEOUT) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.02)


class Server(ABC):
    """One server process.

    Args:
        directory: where it may write.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def answers(self) -> bool: ...

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, cwd=self.directory)
        until(self._ready, f"{type(self).__name__} starts")

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{type(self).__name__} ended: {(self.directory / 'log').read_text()[-500:]}")
        return self.answers()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # The system stops the threads one by one, and one may answer meanwhile.
        until(self._stands_still, f"{type(self).__name__} stands still")

    def _stands_still(self) -> bool:
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task")
        try:
            states = [(each / "stat").read_text().rpartition(")")[2].split()[0] for each in tasks.iterdir()]
        except FileNotFoundError:  # a thread has just ended; or this system has no such files
            return not tasks.exists()
        return set(states) == {"T"}

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


class TCPServer(Server):
    scheme = ""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def ask(self, question: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.settimeout(1)
            connection.sendall(question)
            return connection.recv(4096)

    def says(self, question: bytes, answer: bytes) -> bool:
        try:
            return self.ask(question).startswith(answer)
        except OSError:
            return False


class Redis(TCPServer):
    scheme = "redis"
    options: tuple[str, ...] = ()

    def command(self) -> list[str]:
        server = program("redis-server")
        return [
            server,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            *self.options,
        ]

    def answers(self) -> bool:
        return self.says(b"PING\r\n", b"+PONG")


class ClusterNode(Redis):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.bus_port = free_port()
        self.options = (
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            str(self.bus_port),
            "--cluster-node-timeout",
            "2000",
        )

    def owner(self, slot: int) -> str | None:
        """The id of the node that owns a slot, as this node knows it."""
        for line in self.cluster("NODES").splitlines():
            node_id, *rest = line.split()
            for part in rest[7:]:
                first, _, last = part.partition("-")
                if first.isdigit() and int(first) <= slot <= int(last or first):
                    return node_id
        return None

    def cluster(self, *words: str) -> str:
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall((" ".join(("CLUSTER", *words)) + "\r\n").encode())
            answer = connection.makefile("rb")
            line = answer.readline()
            if line.startswith(b"$"):
                return answer.read(int(line[1:])).decode()
            if line.startswith(b"-"):
                raise AssertionError(line.decode())
            return line.decode()

    @property
    def node_id(self) -> str:
        return self.cluster("MYID").strip()

    def migrate(self, slot: int, port: int) -> None:
        """Move the keys of a slot to the node at a port."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            answer = connection.makefile("rb")
            connection.sendall(f"CLUSTER GETKEYSINSLOT {slot} 1000\r\n".encode())
            keys: list[str] = []
            for _ in range(int(answer.readline()[1:])):
                keys.append(answer.read(int(answer.readline()[1:])).decode())
                answer.readline()
            assert keys, f"slot {slot} holds no keys"
            words = ["MIGRATE", "127.0.0.1", str(port), "", "0", "5000", "KEYS", *keys]
            connection.sendall(
                f"*{len(words)}\r\n".encode() + b"".join(f"${len(w)}\r\n{w}\r\n".encode() for w in words)
            )
            assert answer.readline() == b"+OK\r\n"


class RedisCluster(Server):
    """Three primaries."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.nodes = [ClusterNode(directory / f"node-{number}") for number in range(3)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        return all("cluster_state:ok" in node.cluster("INFO") for node in self.nodes)

    def start(self) -> None:
        self.begin()
        self.wait_until_formed()

    def wait_until_formed(self) -> None:
        until(self.answers, "the cluster forms")

    def begin(self) -> None:
        """Start the nodes and make them known to each other; until they agree they need some seconds more."""
        for node in self.nodes:
            node.start()
        if self.nodes[0].owner(0) is None:
            bounds = [0, 5461, 10923, 16384]
            for epoch, (node, first, end) in enumerate(zip(self.nodes, bounds, bounds[1:], strict=False), 1):
                # The node with the higher epoch owns a slot; with equal epochs, nodes may never agree.
                node.cluster("SET-CONFIG-EPOCH", str(epoch))
                node.cluster("ADDSLOTSRANGE", str(first), str(end - 1))
            for node in self.nodes[1:]:
                self.nodes[0].cluster("MEET", "127.0.0.1", str(node.port), str(node.bus_port))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        for node in self.nodes:
            node.stop(how)

    def freeze(self) -> None:
        for node in self.nodes:
            node.freeze()

    def thaw(self) -> None:
        for node in self.nodes:
            node.thaw()

    def move_slot(self, slot: int, with_keys: bool = False) -> None:
        """Give a slot to the next node, as a reshard does.

        Args:
            slot: the slot.
            with_keys: whether its keys are moved, as by redis-cli; without it they are left behind, and lost.
        """
        ids = [node.node_id for node in self.nodes]
        index = ids.index(self.nodes[0].owner(slot) or "")
        old, new = self.nodes[index], self.nodes[(index + 1) % 3]
        new.cluster("SETSLOT", str(slot), "IMPORTING", old.node_id)
        old.cluster("SETSLOT", str(slot), "MIGRATING", new.node_id)
        if with_keys:
            old.migrate(slot, new.port)
        for node in (new, old):
            node.cluster("SETSLOT", str(slot), "NODE", new.node_id)
        until(lambda: {node.owner(slot) for node in self.nodes} == {new.node_id}, f"slot {slot} moves")


class Nats(TCPServer):
    scheme = "nats"

    def command(self) -> list[str]:
        return [program("nats-server"), "-a", "127.0.0.1", "-p", str(self.port)]

    def answers(self) -> bool:
        return self.says(b"PING\r\n", b"INFO")


class Local(Server):
    """The proxy that a supervisor runs, in a process of its own so that it can be killed."""

    @property
    def sockets(self) -> Path:
        return self.directory / "s"

    @property
    def url(self) -> str:
        return f"local://{self.sockets}"

    def command(self) -> list[str]:
        code = (
            "import signal, sys\nfrom pathlib import Path\n"
            "from odac.brokers.local_proxy import LocalProxy\n"
            "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
            "proxy = LocalProxy(Path(sys.argv[1]))\n"
            "proxy.start()\n"
            "signal.sigwait({signal.SIGTERM})\n"
            "proxy.stop()\n"
        )
        return [sys.executable, "-c", code, str(self.sockets)]

    def answers(self) -> bool:
        return (self.sockets / "out").exists()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        super().stop(how)
        for name in ("in", "out", "log"):
            (self.sockets / name).unlink(missing_ok=True)


class Memory(Server):
    @property
    def url(self) -> str:
        return f"memory://{self.directory.name}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        return True

    def start(self) -> None: ...


SERVERS: dict[str, type[Server]] = {
    "memory": Memory,
    "local": Local,
    "redis": Redis,
    "cluster": RedisCluster,
    "nats": Nats,
}
