"""The command ``odac`` without aiofastnet: TLS by the event loop's own transports."""

import sys

from odac.cli import main

sys.modules["aiofastnet"] = None
main()
