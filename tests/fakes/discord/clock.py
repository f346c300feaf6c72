"""The time that the imitation goes by: real, moved ahead, or standing until it is told."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds: `monotonic` for limits and deadlines, `wall` (since 1970) for ids and stamps."""

    def monotonic(self) -> float:
        """Seconds that only grow."""

    def wall(self) -> float:
        """Seconds since 1970."""

    async def until(self, deadline: float) -> None:
        """Return when `monotonic` has reached the deadline."""


class RunningClock:
    """Real time; `advance` jumps ahead, which makes messages old and windows pass."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._jumped = asyncio.Event()

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def wall(self) -> float:
        return time.time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Jump ahead."""
        self._ahead += seconds
        jumped, self._jumped = self._jumped, asyncio.Event()
        jumped.set()

    async def until(self, deadline: float) -> None:
        while (left := deadline - self.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._jumped.wait(), left)
            except TimeoutError:
                continue


class StandingClock:
    """Time that passes only with `advance`."""

    def __init__(self, *, wall: float = 1_790_000_000.0) -> None:
        self._wall = wall
        self._passed = 0.0
        self._moved = asyncio.Event()

    def monotonic(self) -> float:
        return self._passed

    def wall(self) -> float:
        return self._wall + self._passed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += seconds
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def until(self, deadline: float) -> None:
        while self._passed < deadline:
            await self._moved.wait()
