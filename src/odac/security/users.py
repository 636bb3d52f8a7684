"""What counts as a user, and what identifies one.

Authentication fails closed: every value that an application can return without meaning "this is the user" is either
no user or an error, so that a forgotten ``await`` or an anonymous user object never passes the gate of ``auth.ws``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any
from uuid import UUID

__all__ = ["authenticated", "expiry", "identify", "says_authenticated"]


def authenticated(user: Any) -> Any:
    """Return the user, or None where the value is no user.

    None, False and any other falsy value (an empty str, an empty mapping, 0) are no user, nor is an object or mapping
    whose ``is_authenticated`` is false, such as Django's and Starlette's anonymous users.

    Raises:
        TypeError: the value was most likely returned by mistake: a function or class, a coroutine that was not awaited,
            a generator, an exception that should have been raised, or a pair of user and credentials.
    """
    if user is None or user is False:
        return None
    _refuse_mistakes(user)
    if isinstance(user, (str, int)):
        return user or None
    if isinstance(user, Mapping):
        return user if user and says_authenticated(user.get("is_authenticated", True)) else None
    # The attribute first: a lazy object is looked up once, and an anonymous user may well be truthy.
    return user if says_authenticated(getattr(user, "is_authenticated", True)) and user else None


def expiry(user: Any) -> float | None:
    """When a user's login ends, in seconds since 1970, or None where it does not say.

    It is the ``expires`` of an object or mapping, or the ``"exp"`` of a mapping, as the claims of a JSON Web Token have
    it (RFC 7519 section 4.1.4): a number of seconds since 1970, or a datetime with a time zone.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(user, Mapping):
        found = user.get("expires", user.get("exp"))
    elif isinstance(user, (str, int)):
        return None
    else:
        found = getattr(user, "expires", None)
    if found is None:
        return None
    if isinstance(found, datetime) and found.tzinfo is not None:
        return found.timestamp()
    if isinstance(found, (int, float)) and not isinstance(found, bool) and isfinite(found):
        return float(found)
    raise TypeError(f"expires={found!r} of the user must be seconds since 1970, or a datetime with a time zone")


def says_authenticated(answer: Any) -> bool:
    """Whether the value of an ``is_authenticated`` attribute says yes; in older libraries it is a method.

    Raises:
        TypeError: it is ``async``, so that its answer is not known here.
    """
    if callable(answer):
        answer = answer()
    if inspect.isawaitable(answer):
        _discard(answer)
        raise TypeError("is_authenticated of the user is async: it must be an attribute or an ordinary method")
    return bool(answer)


def identify(user: Any) -> Any:
    """What identifies a user: the str, int or UUID itself, ``id`` or ``pk``, or ``"id"``, ``"pk"`` or ``"sub"`` of a
    mapping.

    Returns:
        None where nothing does.
    """
    if user is None or isinstance(user, bool):
        return None
    if isinstance(user, (str, int, UUID)):
        return user
    if isinstance(user, Mapping):
        # A user as a login provider describes it (OpenID Connect Core 1.0, section 2) has its id in "sub".
        return next((user[name] for name in ("id", "pk", "sub") if user.get(name) is not None), None)
    found = getattr(user, "id", None)
    return getattr(user, "pk", None) if found is None else found


def _refuse_mistakes(user: Any) -> None:
    if inspect.isawaitable(user):
        _discard(user)
        raise TypeError("the user is something to be awaited: an await is missing")
    if inspect.isroutine(user) or inspect.isclass(user):
        raise TypeError(f"the user is {user!r} itself: it was most likely meant to be called")
    if inspect.isgenerator(user) or inspect.isasyncgen(user):
        raise TypeError("the user is a generator: the function has a yield in it")
    if isinstance(user, BaseException):
        raise TypeError(f"the user is an exception, {type(user).__name__}: raise it, or return None for nobody")
    if type(user) in (tuple, list) and any(hasattr(each, "is_authenticated") for each in user):
        raise TypeError("the user comes together with credentials: return the user alone")


def _discard(awaitable: Any) -> None:
    """Close a coroutine that will not be awaited, so that Python does not warn of it as well."""
    close = getattr(awaitable, "close", None)
    if callable(close):
        close()
