"""The events of a room: messages, edits, deletions and reactions.

A room's history is a log of these events. A message's id is ``<author's id>.<key>``: the author's page chooses the key,
and the server adds the author. So a message that is sent twice has one id, and the id determines who may change it.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final

from .people import Person

__all__ = ["LONGEST_MESSAGE", "REACTIONS", "Event", "changed", "is_key", "is_mention", "now_ms", "removed", "said"]
__all__ += ["is_message_id", "is_own", "message_id", "reacted", "what_is_wrong"]

LONGEST_MESSAGE: Final = 2_000
REACTIONS: Final = ("👍", "❤️", "😂", "🎉", "👀")

Event = dict[str, Any]

_KEY = re.compile(r"[A-Za-z0-9_-]{1,40}")


def now_ms() -> int:
    """Milliseconds since 1970, as browsers count them."""
    return int(time.time() * 1000)


def is_key(text: str) -> bool:
    """Whether a page may use this key for a message."""
    return _KEY.fullmatch(text) is not None


def message_id(author: Person, key: str) -> str:
    """The id of this author's message with this key."""
    return f"{author.id}.{key}"


def is_own(person: Person, id_: str) -> bool:
    """Whether this person is the author of a message."""
    author, _, key = id_.partition(".")
    return author == person.id and is_key(key)


def is_message_id(id_: str) -> bool:
    """Whether this text has the form of a message's id."""
    author, _, key = id_.partition(".")
    return is_key(author) and is_key(key)


def said(author: Person, key: str, text: str) -> Event:
    """The event of a new message."""
    return {
        "type": "message",
        "id": message_id(author, key),
        "from": author.as_json(),
        "text": text,
        "at": now_ms(),
    }


def changed(id_: str, text: str) -> Event:
    """The event of an edit by the author."""
    return {"type": "edit", "id": id_, "text": text}


def removed(id_: str) -> Event:
    """The event of a deletion by the author."""
    return {"type": "delete", "id": id_}


def reacted(id_: str, person: Person, emoji: str, on: bool) -> Event:
    """The event of a reaction that a person adds to a message or removes."""
    return {"type": "react", "id": id_, "by": person.as_json(), "emoji": emoji, "on": on}


def what_is_wrong(text: str) -> str | None:
    """The reason why this text cannot be sent, for its author; None if it can."""
    if not text.strip():
        return "The message is empty."
    if len(text) > LONGEST_MESSAGE:
        return f"The message has {len(text)} characters. At most {LONGEST_MESSAGE} fit."
    return None


def is_mention(text: str, person: Person) -> bool:
    """Whether a text mentions this person: ``@Ada`` or ``@Ada Lovelace``, but not ``@Adam``."""
    return re.search(rf"@{re.escape(person.name)}(?!\w)", text, re.IGNORECASE) is not None
