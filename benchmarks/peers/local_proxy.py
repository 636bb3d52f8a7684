"""The proxy that ``odac run --workers`` runs, in a process of its own so that its CPU can be told from the workers'."""

import signal
import socket
import sys
from pathlib import Path

from odac.brokers.local_proxy import LocalProxy

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
proxy = LocalProxy(Path(sys.argv[1]))
proxy.start()
ready = socket.create_server(("127.0.0.1", int(sys.argv[2])))
signal.sigwait({signal.SIGTERM})
proxy.stop()
