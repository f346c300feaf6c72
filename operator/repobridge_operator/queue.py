"""The queue of bridges to look at: each key at most once, in one worker's hands at a time.

Whatever happens to a bridge only says "look again"; a key that is asked for while a worker has it
comes back when the worker is through. A failed key backs off by itself. An event brings it forward,
though never to less than the first back-off after the failure, so that a failure whose attempt
causes an event of its own can't spin.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a key waits after failures in a row; each wait is up to `spread` longer."""

    first_seconds: float = 0.2
    cap_seconds: float = 300.0
    spread: float = 0.2

    def delay(self, failures: int, *, chance: float) -> float:
        """The seconds after this many failures; `chance` is from 0 to 1."""
        doubled = self.first_seconds * 2.0 ** min(failures - 1, 60)
        return min(doubled, self.cap_seconds) * (1.0 + self.spread * chance)


@dataclass(slots=True)
class _Entry:
    due: float
    held: bool = False
    again: float | None = None
    """When to look once more; asked for while a worker had the key."""
    failures: int = 0
    floor: float = 0.0
    """No event brings the key before this time."""


class KeyedQueue(Generic[Key]):
    """Keys and when they are due; `get` hands out, `done`, `retry` or `retry_after` give back.

    It holds at most `capacity` keys. A full queue refuses new ones: the periodic look at every
    bridge brings them again.
    """

    def __init__(
        self,
        *,
        capacity: int,
        backoff: Backoff,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._capacity = capacity
        self._backoff = backoff
        self._clock = clock
        self._chance = chance
        self._entries: dict[Key, _Entry] = {}
        self._due: list[tuple[float, int, Key]] = []
        self._count = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    @property
    def waiting(self) -> int:
        """How many keys are due and in nobody's hands; any thread may ask."""
        now = self._clock()
        entries = tuple(self._entries.values())
        return sum(not entry.held and entry.due <= now for entry in entries)

    def add(self, key: Key) -> bool:
        """Asks for a look at once; False when the queue is full."""
        return self.add_after(key, 0.0)

    def add_after(self, key: Key, seconds: float) -> bool:
        """Asks for a look after a while, or sooner if one is due sooner; False when full."""
        due = self._clock() + max(0.0, seconds)
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= self._capacity:
                return False
            self._entries[key] = _Entry(due)
            self._push(key, due)
        elif entry.held:
            entry.again = due if entry.again is None else min(entry.again, due)
        elif max(due, entry.floor) < entry.due:
            entry.due = max(due, entry.floor)
            self._push(key, entry.due)
        return True

    def pop(self) -> Key | None:
        """The key that is due longest, now in the caller's hands; None when none is due."""
        self._drop_stale()
        if not self._due or self._due[0][0] > self._clock():
            return None
        _, _, key = heapq.heappop(self._due)
        self._entries[key].held = True
        return key

    def next_due(self) -> float | None:
        """The time at which a key is due next, by the queue's clock."""
        self._drop_stale()
        return self._due[0][0] if self._due else None

    async def get(self) -> Key:
        """The next key, as soon as one is due."""
        while True:
            self._changed.clear()
            key = self.pop()
            if key is not None:
                return key
            due = self.next_due()
            delay = None if due is None else max(0.0, due - self._clock())
            try:
                async with asyncio.timeout(delay):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def done(self, key: Key, *, again_after: float | None = None) -> None:
        """Gives a key back after a success; it comes again if that was asked for meanwhile."""
        entry = self._held(key)
        due = entry.again
        if again_after is not None:
            later = self._clock() + again_after
            due = later if due is None else min(due, later)
        if due is None:
            del self._entries[key]
        else:
            self._entries[key] = _Entry(due)
            self._push(key, due)

    def retry(self, key: Key) -> float:
        """Gives a key back after a failure; the seconds until it comes again."""
        entry = self._held(key)
        entry.failures += 1
        now = self._clock()
        entry.floor = now + self._backoff.first_seconds
        return self._wait(
            key, now + self._backoff.delay(entry.failures, chance=self._chance()), now=now
        )

    def retry_after(self, key: Key, seconds: float) -> float:
        """Gives a key back that must not come before `seconds` are over."""
        now = self._clock()
        self._held(key).floor = now + seconds
        return self._wait(key, now + seconds, now=now)

    def _wait(self, key: Key, due: float, *, now: float) -> float:
        entry = self._entries[key]
        if entry.again is not None:
            due = min(due, max(entry.again, entry.floor))
        entry.due, entry.again, entry.held = due, None, False
        self._push(key, due)
        return due - now

    def _held(self, key: Key) -> _Entry:
        entry = self._entries[key]
        assert entry.held, "only a key that was handed out can be given back"
        return entry

    def _push(self, key: Key, due: float) -> None:
        self._count += 1
        heapq.heappush(self._due, (due, self._count, key))
        self._changed.set()

    def _drop_stale(self) -> None:
        """Drops what an earlier time has overtaken, or what a worker took meanwhile."""
        while self._due:
            due, _, key = self._due[0]
            entry = self._entries.get(key)
            if entry is not None and not entry.held and entry.due == due:
                return
            heapq.heappop(self._due)
