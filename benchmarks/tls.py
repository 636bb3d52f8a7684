"""Over TLS, beside other servers: ``python -m benchmarks.tls [--rounds 6] [--seconds 1] [--servers "odac[tls];picows"]``.

It needs HAProxy, which encrypts for the load generator, on its core: the servers see TLS 1.3 with a full handshake for
each connection. All servers share core 0 and are loaded in turn. Memory is measured of each server alone, by a client
that speaks TLS itself.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import trustme

from benchmarks.loads import Load, run
from benchmarks.servers import BUILD, Running, Server, build

FIRST_PORT = 8850
FIRST_FRONT = 8870
HOLDS = 800
CUTS = 2000
CERTIFICATE = BUILD / "tls-cert.pem"
KEY = BUILD / "tls-key.pem"

_ODAC = "run odac_:app --host 127.0.0.1 --port {port} --log-level warning"
_OPTIONS = f"--ssl-certfile {CERTIFICATE} --ssl-keyfile {KEY}"
_ALL = (
    Server("odac[tls]", f"{{own}}/odac {_ODAC} {_OPTIONS}"),
    Server("odac, uvloop's TLS", f"{{own}}/python odac_loop_tls.py {_ODAC} {_OPTIONS}"),
    Server("picows", f"{{python}}/python picows_.py {{port}} {CERTIFICATE} {KEY}"),
    Server("ws (Node)", f"node ws_.js {{port}} {CERTIFICATE} {KEY}"),
    Server("uWebSockets", f"{{build}}/uws {{port}} {CERTIFICATE} {KEY}"),
)
SERVERS = {server.name: server for server in _ALL}

_LOADS = (
    Load("echo", "echo", ("--conns", "50"), "echo", "echo, 50 connections"),
    Load("fan300", "fanout", ("--conns", "300"), "room", "delivery in a room of 300"),
    Load("fan300w8", "fanout", ("--conns", "300", "--window", "8"), "room", "the same, eight in flight"),
    Load("connect", "connect", ("--conns", "16"), "echo", "full handshake"),
)
LOADS = {load.name: load for load in _LOADS}

_CLIENT = r"""
import socket, ssl, struct, sys
port, count, cut = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "cut"
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
held = []
for _ in range(count):
    one = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
    one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += one.recv(4096)
    assert b" 101 " in answer, answer
    if cut:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
    else:
        held.append(one)
print("done", flush=True)
sys.stdin.readline()
"""


def make_certificate() -> None:
    """A certificate with an ECDSA key, as most servers have."""
    BUILD.mkdir(parents=True, exist_ok=True)
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(CERTIFICATE))
    issued.private_key_pem.write_to_path(str(KEY))


@contextlib.contextmanager
def encrypting(ports: Sequence[int]) -> Iterator[list[int]]:
    """HAProxy in front of these ports, on the load generator's core: takes plain connections, opens them over TLS."""
    fronts = [FIRST_FRONT + number for number in range(len(ports))]
    lines = ["global", " maxconn 4000", "defaults", " mode tcp"]
    lines += [f" timeout {which} 1h" for which in ("client", "server")]
    lines += [" timeout connect 10s"]
    for front, port in zip(fronts, ports, strict=True):
        lines += [f"listen l{front}", f" bind 127.0.0.1:{front}"]
        lines += [f" server s 127.0.0.1:{port} ssl verify none no-ssl-reuse"]
    configuration = BUILD / "tls-haproxy.cfg"
    configuration.write_text("\n".join(lines) + "\n")
    command = ["taskset", "-c", "1", "haproxy", "-db", "-f", str(configuration)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        if process.poll() is not None:
            raise SystemExit(f"haproxy did not start with {configuration}")
        yield fronts
    finally:
        process.kill()
        process.wait()


def costs(names: Sequence[str], load: Load, rounds: int, seconds: float) -> dict[str, list[float]]:
    """CPU seconds per operation of each server, one a round; the first round warms up."""
    found: dict[str, list[float]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(Running(SERVERS[name], FIRST_PORT + i)) for i, name in enumerate(names)]
        fronts = stack.enter_context(encrypting([each.port for each in running]))
        for round_ in range(rounds + 1):
            for server, front in zip(running, fronts, strict=True):
                cost, _ = run(server, load, seconds, extra=("--port", str(front)))
                if round_:
                    found[server.server.name].append(cost)
    return found


def table(load: Load, found: dict[str, list[float]]) -> str:
    """The medians, and the medians of the ratios to picows, round by round."""
    rows = [f"**{load.unit}**", "", "| server | µs | lowest to highest | to picows |", "|---|---:|---:|---:|"]
    for name, each in sorted(found.items(), key=lambda item: statistics.median(item[1])):
        micro = [cost * 1e6 for cost in each]
        peers = found.get("picows", [])
        ratio = f"{statistics.median(a / b for a, b in zip(each, peers, strict=True)):.2f}" if peers else "–"
        rows.append(f"| {name} | {statistics.median(micro):.1f} | {min(micro):.1f} to {max(micro):.1f} | {ratio} |")
    return "\n".join(rows) + "\n"


@contextlib.contextmanager
def clients(port: int, count: int, how: str) -> Iterator[None]:
    """So many connections over TLS, one after the other: held, or each cut at once."""
    command = [sys.executable, "-c", _CLIENT, str(port), str(count), how]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "done\n":
            raise SystemExit(f"a client of port {port} failed")
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def memory(name: str) -> tuple[float, float]:
    """Resident bytes per idle connection, and of growth per connection that was cut, after as many before."""
    with Running(SERVERS[name], FIRST_PORT) as running, clients(running.port, 100, "hold"):
        before = running.rss()
        with clients(running.port, HOLDS, "hold"):
            idle = (running.rss() - before) / HOLDS
    with Running(SERVERS[name], FIRST_PORT) as running:
        with clients(running.port, CUTS, "cut"):
            before = running.rss()
        with clients(running.port, CUTS, "cut"):
            return idle, (running.rss() - before) / CUTS


def main() -> None:
    """Print a table a load, and one of the memory."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tls", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one load")
    parser.add_argument(
        "--servers", default="", help=f"of {'; '.join(SERVERS)} (separated by semicolons); default: all"
    )
    parser.add_argument("--loads", default=",".join(LOADS), help=f"of {', '.join(LOADS)}")
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    if shutil.which("haproxy") is None:
        raise SystemExit("haproxy is missing: apt-get install haproxy")
    build()
    make_certificate()
    there = [name for name in SERVERS if name != "uWebSockets" or Path(BUILD / "uws").exists()]
    names = [name for name in SERVERS if name in options.servers.split(";")] if options.servers else there
    for load in filter(None, options.loads.split(",")):
        print(table(LOADS[load], costs(names, LOADS[load], options.rounds, options.seconds)), flush=True)
    if not options.no_memory:
        print("| server | KiB for an idle connection | KiB more after each that was cut |\n|---|---:|---:|")
        for name in names:
            idle, cut = memory(name)
            print(f"| {name} | {idle / 1024:.1f} | {cut / 1024:.2f} |", flush=True)


if __name__ == "__main__":
    main()
