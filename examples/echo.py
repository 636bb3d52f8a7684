"""The smallest app: it sends every message back to its sender.

::

    odac run examples.echo:app
    odac connect ws://127.0.0.1:8000/echo
"""

from __future__ import annotations

from odac import Context, Odac

app = Odac()


@app.route.ws("/echo", token=False)
def echo(odac: Context) -> None:
    """Send every message back to the client that sent it."""
    odac.ws.on("message", odac.ws.send)
