"""What is said in a room: the messages, and what happens to them later. Pure data.

A room's history is a log of these events. A message's id is ``<author's id>.<key>``, where the author's page makes the
key and the server writes the author. So a message that is sent twice has one id, and the id tells who may change it.
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
    """Whether a page may call its message by this key."""
    return _KEY.fullmatch(text) is not None


def message_id(author: Person, key: str) -> str:
    """The id of the message that this author's page calls ``key``."""
    return f"{author.id}.{key}"


def is_own(person: Person, id_: str) -> bool:
    """Whether a message is this person's."""
    author, _, key = id_.partition(".")
    return author == person.id and is_key(key)


def is_message_id(id_: str) -> bool:
    """Whether a message may have this id."""
    author, _, key = id_.partition(".")
    return is_key(author) and is_key(key)


def said(author: Person, key: str, text: str) -> Event:
    """A message."""
    return {
        "type": "message",
        "id": message_id(author, key),
        "from": author.as_json(),
        "text": text,
        "at": now_ms(),
    }


def changed(id_: str, text: str) -> Event:
    """The author wrote it anew."""
    return {"type": "edit", "id": id_, "text": text}


def removed(id_: str) -> Event:
    """The author took it back."""
    return {"type": "delete", "id": id_}


def reacted(id_: str, person: Person, emoji: str, on: bool) -> Event:
    """Somebody put an emoji on a message, or took it away."""
    return {"type": "react", "id": id_, "by": person.as_json(), "emoji": emoji, "on": on}


def what_is_wrong(text: str) -> str | None:
    """Why this text cannot be sent, in words for its author."""
    if not text.strip():
        return "The message is empty."
    if len(text) > LONGEST_MESSAGE:
        return f"The message has {len(text)} characters. At most {LONGEST_MESSAGE} fit."
    return None


def is_mention(text: str, person: Person) -> bool:
    """Whether a text calls this person: ``@Ada`` or ``@Ada Lovelace``, but not ``@Adam``."""
    return re.search(rf"@{re.escape(person.name)}(?!\w)", text, re.IGNORECASE) is not None
