"""Disconnects an app's broker while a test runs."""

from __future__ import annotations

from typing import Any

from odac.brokers.memory import set_away
from odac.brokers.url import parse_url

__all__ = ["BrokerFault"]


class BrokerFault:
    """Disconnects an app's broker, which is one within this process, and connects it again.

    Args:
        app: the ``Odac`` under test.
    """

    __slots__ = ("_app", "_lost")

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lost = False

    def lose(self) -> None:
        """Disconnect it.

        Raises:
            RuntimeError: the app's broker is not ``memory://`` with a name, the only one that a test can disconnect.
        """
        set_away(self._name(), True)
        self._lost = True

    def restore(self) -> None:
        """Connect it again, if it is disconnected."""
        if self._lost:
            set_away(self._name(), False)
            self._lost = False

    def _name(self) -> str:
        url = str(getattr(self._app, "broker_url", ""))
        name = url.removeprefix("memory://")
        if name == url or not name:
            found = (
                f"this app has {parse_url(url).address}" if url else "the test client has no Odac app: give it as odac="
            )
            raise RuntimeError(
                f'a test can disconnect only a broker within its process; {found}. Use Odac(broker="memory://tests") in'
                " tests, or set $ODAC_BROKER to that"
            )
        return name
