"""A mapping whose entries expire, and which never holds more than so many."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_SWEPT_AT_ONCE = 2
"""More than one can come with each call, so that what has expired goes faster than it gathers."""


class ExpiringMap(Generic[K, V]):
    """Keeps each entry until its expiry; beyond its size it gives up what would expire first.

    `forgotten` hears of each value that is no longer kept, replaced ones too.
    """

    def __init__(
        self, *, size: int, forgotten: Callable[[K, V], None] = lambda _key, _value: None
    ) -> None:
        self._size = size
        self._forgotten = forgotten
        self._entries: dict[K, tuple[int, V]] = {}
        # Each entry has an element; its expiry may have moved since, and it may be gone.
        self._queue: list[tuple[int, int, K]] = []
        self._numbers = itertools.count()
        self.evicted = 0
        """How many entries were given up before their time."""

    def __len__(self) -> int:
        """How many it holds, some of which may have expired."""
        return len(self._entries)

    def get(self, key: K, *, now: int) -> V | None:
        """An entry that has not expired."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None and entry[0] > now else None

    def put(self, key: K, value: V, *, expiry: int, now: int) -> None:
        """Keeps an entry, in the place of the former one; one that has expired is not kept."""
        if self._queue and self._queue[0][0] <= now:
            self.sweep(now=now, at_most=_SWEPT_AT_ONCE)
        former = self._entries.get(key)
        if former is not None:
            self._forgotten(key, former[1])
        else:
            while len(self._entries) >= self._size:
                self.evicted += self._settle_first() > now
            heapq.heappush(self._queue, (expiry, next(self._numbers), key))
        self._entries[key] = expiry, value

    def drop(self, key: K) -> None:
        """Forgets an entry."""
        _, value = self._entries.pop(key)
        self._forgotten(key, value)

    def items(self, *, now: int) -> Iterator[tuple[K, V]]:
        """The entries that have not expired."""
        return ((key, value) for key, (at, value) in self._entries.items() if at > now)

    def sweep(self, *, now: int, at_most: int | None = None) -> int:
        """Forgets what has expired; how many entries."""
        before = len(self._entries)
        for _ in itertools.count() if at_most is None else range(at_most):
            if not self._queue or self._queue[0][0] > now:
                break
            self._settle_first()
        return before - len(self._entries)

    def _settle_first(self) -> int:
        """Forgets what is first in the queue; its expiry, or 0 where that has moved, or it is gone.

        An entry whose expiry has moved on is put where it belongs by now.
        """
        at, _, key = self._queue[0]
        entry = self._entries.get(key)
        if entry is None:
            heapq.heappop(self._queue)
        elif entry[0] > at:
            heapq.heapreplace(self._queue, (entry[0], next(self._numbers), key))
        else:
            heapq.heappop(self._queue)
            self.drop(key)
            return at
        return 0
