"""A broker that is lost while the test runs."""

from __future__ import annotations

from typing import Any

from odac.brokers.memory import set_away
from odac.brokers.url import parse_url

__all__ = ["BrokerFault"]


class BrokerFault:
    """Loses the broker of an app within this process, and lets it be back.

    Args:
        app: the ``Odac`` under test.
    """

    __slots__ = ("_app", "_lost")

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lost = False

    def lose(self) -> None:
        """Lose it.

        Raises:
            RuntimeError: the app has no broker that a test can lose, which is ``memory://`` with a name.
        """
        set_away(self._name(), True)
        self._lost = True

    def restore(self) -> None:
        """Let it be back, if it is lost."""
        if self._lost:
            set_away(self._name(), False)
            self._lost = False

    def _name(self) -> str:
        url = str(getattr(self._app, "broker_url", ""))
        name = url.removeprefix("memory://")
        if name == url or not name:
            raise RuntimeError(
                "a test can lose a broker within its process only, and this app has"
                f" {parse_url(url).address if url else 'no Odac app given as odac='}: for tests, make it with"
                ' Odac(broker="memory://tests"), or set $ODAC_BROKER to that'
            )
        return name
