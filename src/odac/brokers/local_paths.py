"""The directory of the local broker's sockets, which programs of the same user find by the broker's name."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from odac.brokers.url import DIRECTORY_VARIABLE, BrokerURL
from odac.errors import ConfigurationError

__all__ = ["base", "check_path", "directory_of", "distrusted", "may_create", "only_ours"]

PATH_LIMIT: Final = 100
"""The most bytes of a Unix socket's path: the systems' limits are 104 to 108."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


def base() -> Path:
    """The directory that contains the directories of all names. Each user has one, so that two users can use the same
    name.

    It is not ``$XDG_RUNTIME_DIR``, which is not set for a service of the same user.
    """
    import tempfile  # here, because its import takes a twentieth of the time of importing Odac

    return Path(tempfile.gettempdir()) / f"odac-{os.getuid()}"


def directory_of(url: BrokerURL) -> Path:
    """The directory that a ``local://`` URL names. It need not exist.

    Raises:
        ConfigurationError: the URL names none, or its path is too long for a socket.
    """
    place = url.address.removeprefix("local://")
    if url.url != url.address:
        raise ConfigurationError("local:// URLs have no user, no port and no options except namespace")
    if place.startswith("/"):
        directory = Path(place)
    elif place:
        if _NAME.fullmatch(place) is None:
            raise ConfigurationError(
                f"local://{place}: a name has 1 to 32 letters, digits, '-' and '_'; a directory begins with a slash,"
                " like local:///run/myapp"
            )
        directory = base() / place
    elif told := os.environ.get(DIRECTORY_VARIABLE):
        directory = Path(told)
    else:
        raise ConfigurationError(
            "local:// without a name connects the workers of one server: start them with `odac run --workers N`,"
            " or give the server a name, like local://myapp, by which other programs find it too"
        )
    check_path(directory)
    return directory


def check_path(directory: Path) -> None:
    """Check that a socket can be created in the directory.

    Raises:
        ConfigurationError: the path is too long.
    """
    limit = PATH_LIMIT - len("/out")
    size = len(os.fsencode(directory))
    if size > limit:
        raise ConfigurationError(
            f"{directory}: {size} bytes are too many for the path of a Unix socket's directory, which may have {limit}:"
            " choose another directory, or a shorter $TMPDIR"
        )


def only_ours(directory: Path) -> bool:
    """Whether the directory exists, belongs to this user, and only this user may write to it."""
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o022


def distrusted(directory: Path) -> str | None:
    """Why the sockets in the directory may be another user's, or None; checked before anything is sent there.

    This applies to root as well: the directory's owner could read what root publishes.
    """
    for each in (directory, *([base()] if directory.parent == base() else [])):
        try:
            owner = each.lstat().st_uid
        except OSError:
            continue  # no directory: there is no socket to connect to
        if owner != os.getuid():
            return (
                f"{each} belongs to another user (uid {owner}): run this command as that user, or choose another"
                " directory"
            )
        if not only_ours(each):
            return f"other users may write to {each}: run chmod 700 on it, unless another user has created it"
    return None


def may_create(directory: Path) -> bool:
    """Whether a directory that does not exist can be created where no other user could replace it.

    The existing part of the path must belong to this user or to root and be writable by no other user, except
    directories such as ``/tmp``, where users may remove only their own files.
    """
    above = directory.absolute().parent
    while not above.exists():
        above = above.parent
    found = above.stat()
    guarded = not found.st_mode & stat.S_IWOTH or bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid in (os.getuid(), 0) and guarded
