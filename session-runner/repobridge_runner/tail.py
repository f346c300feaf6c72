"""The newest events of a log in memory, for readers that keep up."""

from __future__ import annotations

from collections.abc import Iterable

from repobridge_runner.transaction import StoredEvent


class Tail:
    """A ring of consecutive events, bounded in bytes and shared by all readers."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._events: dict[int, StoredEvent] = {}
        self._oldest = 0

    def extend(self, stored: Iterable[StoredEvent]) -> None:
        """Adds the next events and lets the oldest go, beyond the bound even the newest."""
        for event in stored:
            if not self._events:
                self._oldest = event.sequence
            self._events[event.sequence] = event
            self._bytes += len(event.payload)
            while self._bytes > self._max_bytes:
                self._bytes -= len(self._events.pop(self._oldest).payload)
                self._oldest += 1

    def after(self, sequence: int, *, limit: int) -> list[StoredEvent]:
        """The events that follow a sequence; empty when the first of them is not here."""
        first = sequence + 1
        if first not in self._events:
            return []
        newest = self._oldest + len(self._events)
        return [self._events[each] for each in range(first, min(first + limit, newest))]
