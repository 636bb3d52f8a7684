"""The rules of an app in its broker: its processes agree on them there, and publishers without the app read them.

After the last process has read them, they are kept for a day longer than the messages that they concern: a publisher
can append while the app is not running, and the rules of an app without history expire.
"""

from __future__ import annotations

from odac.errors import BrokerError
from odac.history.rules import RuleBook
from odac.history.store import KEPT_LONGER, HistoryStore
from odac.notices import warn

__all__ = ["Agreement", "kept_for"]


def kept_for(book: RuleBook) -> float:
    """Seconds that the rules stay in the broker after a process has read them."""
    histories = [rule.history for rule in book.rules]
    if book.users is not None:
        histories.append(book.users)
    return max((history.ttl for history in histories), default=0.0) + KEPT_LONGER


class Agreement:
    """One process's view of the rules in the broker.

    Attributes:
        is_reached: whether the process has once read them, and so knows the eras of its rules.
    """

    __slots__ = ("_text", "_version", "is_reached")

    def __init__(self) -> None:
        self._version = 0
        self._text = b""
        self.is_reached = False

    async def agree(self, store: HistoryStore, book: RuleBook) -> RuleBook:
        """Write this process's rules, or adopt those that a newer process has written; to be called regularly.

        Args:
            store: the broker's store.
            book: this process's rules.

        Returns:
            the rules that are in force from now on.
        """
        try:
            version, text = await store.rules(kept_for(book))
            if self._version == 0:
                # At start, this process's own rules are the newest.
                book = await self._insist(store, book, version, text)
            elif version < self._version:
                # The broker has lost them, and meanwhile a publisher may have kept nothing: they start again.
                mine = book.continuing(_read(text) or RuleBook())
                if await store.write_rules(self._version, mine.encode(), kept_for(book)):
                    self._text, book = mine.encode(), mine
                else:
                    book = self._take(book, *await store.rules())
            else:
                book = self._take(book, version, text)
        except BrokerError:
            return book
        self.is_reached = True
        return book

    async def _insist(self, store: HistoryStore, book: RuleBook, version: int, text: bytes) -> RuleBook:
        while True:
            mine = book.continuing(_read(text) or RuleBook())
            written = mine.encode()
            if text == written or await store.write_rules(version + 1, written, kept_for(book)):
                self._version, self._text = version + (text != written), written
                return mine
            version, text = await store.rules()

    def _take(self, book: RuleBook, version: int, text: bytes) -> RuleBook:
        if text == self._text or version < self._version:
            return book
        self._version, self._text = version, text
        found = _read(text)
        if found is None:
            warn(
                "history", "the rules in the broker were written by another version of Odac; this process keeps its own"
            )
            return book
        return found


def _read(text: bytes) -> RuleBook | None:
    try:
        return RuleBook.decode(text)
    except ValueError:
        return None
