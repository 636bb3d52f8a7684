"""Database access outside of Django's request cycle.

At the beginning and the end of each HTTP request, Django closes a database connection that is too old or has failed. A
WebSocket has no such moments, so a thread would keep its connection after a restart of the database, and fail for good.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, close_old_connections, connections

__all__ = ["close_broken_connections", "database_sync_to_async", "read"]

P = ParamSpec("P")
T = TypeVar("T")


def database_sync_to_async(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Make a function that uses the database awaitable: it runs in a thread, with usable database connections.

    Args:
        function: uses the ORM as in a view; ``transaction.atomic`` works in it.
    """

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    # Not thread-sensitive: that would be one thread for all WebSockets of the process.
    return sync_to_async(checked, thread_sensitive=False)


async def read(function: Callable[[], T]) -> T:
    """Run a function that only reads, and run it once more if the database has closed the connection."""

    def twice() -> T:
        try:
            return function()
        except (OperationalError, InterfaceError):
            close_old_connections()
            return function()

    return await database_sync_to_async(twice)()


def close_broken_connections() -> None:
    """Close the connections of this thread that have failed, so that the next query gets a new one.

    The asynchronous ORM (``await User.objects.aget(…)``) uses one thread, in which no request ever begins or ends.
    """
    for connection in connections.all(initialized_only=True):
        if connection.errors_occurred:
            connection.close_if_unusable_or_obsolete()
