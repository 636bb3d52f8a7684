"""Sessions that were ended although their cookies are correctly signed and not expired."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

__all__ = ["RevokedSessions"]

_BLOCK: Final = 65_536
_MOST_BLOCKS: Final = 63
"""With the block that is being filled, 4,194,304 sessions: 8 bytes each, 32 MiB in all."""

_WORD: Final = 2**64 - 1


class _Block(NamedTuple):
    hashes: array[int]
    """Sorted."""
    newest: float
    """When the last of them was added."""


class RevokedSessions:
    """The sessions that were logged out, each kept until none of its cookies can be valid any more.

    Adding entries never evicts others. At the memory limit, :attr:`none_before` advances instead: all sessions that
    began before it are refused, and their users have to log in again. Callable from any thread.

    Args:
        lifetime: seconds from its beginning until a session ends by itself.
        clock: the time in seconds since 1970.

    Attributes:
        none_before: sessions that began at this time or before are refused; initially minus infinity.
    """

    __slots__ = ("_blocks", "_clock", "_lifetime", "_lock", "_recent", "none_before")

    def __init__(self, lifetime: float, clock: Callable[[], float]) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._lock = threading.Lock()
        self._recent: set[int] = set()
        self._blocks: deque[_Block] = deque()
        self.none_before = float("-inf")

    def add(self, session_id: str) -> None:
        """Refuse this session from now on."""
        # The hash of a str has 64 bits, and a random key in each process (PEP 456).
        word = hash(session_id) & _WORD
        with self._lock:
            now = self._clock()
            while self._blocks and self._blocks[0].newest + self._lifetime < now:
                self._blocks.popleft()
            if self._holds(word):
                return
            self._recent.add(word)
            if len(self._recent) >= _BLOCK:
                self._blocks.append(_Block(array("Q", sorted(self._recent)), now))
                self._recent = set()
                if len(self._blocks) > _MOST_BLOCKS:
                    # Each of its sessions began before it was revoked.
                    self.none_before = self._blocks.popleft().newest

    def __contains__(self, session_id: str) -> bool:
        word = hash(session_id) & _WORD
        recent = self._recent  # read first: it becomes a block before another set takes its place
        if not self._blocks:
            return word in recent
        with self._lock:
            return self._holds(word)

    def _holds(self, word: int) -> bool:
        if word in self._recent:
            return True
        for block in self._blocks:
            at = bisect_left(block.hashes, word)
            if at < len(block.hashes) and block.hashes[at] == word:
                return True
        return False

    def __len__(self) -> int:
        with self._lock:
            return len(self._recent) + sum(len(block.hashes) for block in self._blocks)
