"""The rules of an app in its broker: its processes agree on them there, and publishers without the app read them.

They are kept for as long as what they let the rooms keep, and a day more, after the last process has looked at them: a
publisher goes on to append while the app is away, and an app that has no rules any more leaves none behind for good.
"""

from __future__ import annotations

from odac.errors import BrokerError
from odac.history.rules import RuleBook
from odac.history.store import KEPT_LONGER, HistoryStore
from odac.notices import warn

__all__ = ["Agreement", "kept_for"]


def kept_for(book: RuleBook) -> float:
    """Seconds that the rules stay in the broker after a process has looked at them."""
    histories = [rule.history for rule in book.rules]
    if book.users is not None:
        histories.append(book.users)
    return max((history.ttl for history in histories), default=0.0) + KEPT_LONGER


class Agreement:
    """What one process knows of the rules in the broker."""

    __slots__ = ("_version",)

    def __init__(self) -> None:
        self._version = 0

    async def agree(self, store: HistoryStore, book: RuleBook) -> RuleBook:
        """Write this process's rules, or take those that a newer process has written; to be called regularly.

        Args:
            store: of the broker.
            book: this process's rules.

        Returns:
            the rules that are in force from now on.
        """
        try:
            mine = book.encode()
            version, text = await store.rules(kept_for(book))
            if self._version == 0:
                # At start this process's own are the newest.
                while text != mine and not await store.write_rules(version + 1, mine, kept_for(book)):
                    version, text = await store.rules()
                self._version = version + (text != mine)
            elif version > self._version:
                self._version = version
                return RuleBook.decode(text)
            elif version < self._version:
                await store.write_rules(self._version, mine, kept_for(book))  # the broker has lost them
        except ValueError:
            warn(
                "history", "the rules in the broker were written by another version of Odac; this process keeps its own"
            )
        except BrokerError:
            pass
        return book
