"""When messages had arrived: noted in one place, asked for by the benchmark."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.commanded import Json


class Arrived:
    """The first time of each message, by the machine's monotonic clock."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}
        self._changed = asyncio.Event()

    def note(self, message_id: str) -> None:
        """It has arrived now."""
        self.note_at(message_id, time.monotonic())

    def note_at(self, message_id: str, at: float) -> None:
        """It has arrived then."""
        self._at.setdefault(message_id, at)
        self._changed.set()

    async def arrived(self, messages: Sequence[str], seconds: float) -> Json:
        """Waits until all of them have; when each did, and which have not in this time."""
        missing = set(messages)
        try:
            async with asyncio.timeout(seconds):
                while missing := missing - self._at.keys():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        return {
            "at": [self._at[each] for each in messages if each in self._at],
            "missing": sorted(missing),
        }
