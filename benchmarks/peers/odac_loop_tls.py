"""The command odac, as if aiofastnet were not installed: TLS by the event loop's own transports."""

import sys

from odac.cli import main

sys.modules["aiofastnet"] = None
main()
