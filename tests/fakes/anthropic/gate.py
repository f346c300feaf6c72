"""Places in a stream where the imitation stands still: until a test says so, or for a while."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol


class Hold(Protocol):
    """Something that a stream has to get past."""

    async def pass_through(self) -> None:
        """Return when the stream may go on."""


@dataclass(frozen=True)
class Pause:
    """Holds for a fixed time: the pace of a demo or a benchmark, no way to order a test."""

    seconds: float

    async def pass_through(self) -> None:
        """Sleep."""
        await asyncio.sleep(self.seconds)


class Gate:
    """Holds whoever passes until `open()` (for good) or `step()` (once); counts arrivals."""

    def __init__(self) -> None:
        self._arrivals = 0
        self._passes = 0
        self._is_open = False
        self._changed = asyncio.Condition()

    @property
    def arrivals(self) -> int:
        """How many streams have reached this place so far."""
        return self._arrivals

    async def pass_through(self) -> None:
        """Arrive, and go on when allowed: for the imitation."""
        async with self._changed:
            self._arrivals += 1
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._is_open or self._passes > 0)
            if not self._is_open:
                self._passes -= 1

    async def reached(self, arrivals: int = 1, *, timeout: float = 90.0) -> None:
        """Wait until so many streams have arrived."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: self._arrivals >= arrivals)

    async def step(self, passes: int = 1) -> None:
        """Let so many arrivals pass, those that wait first."""
        async with self._changed:
            self._passes += passes
            self._changed.notify_all()

    async def open(self) -> None:
        """Let everything pass from now on."""
        async with self._changed:
            self._is_open = True
            self._changed.notify_all()
