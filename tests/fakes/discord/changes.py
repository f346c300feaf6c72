"""Tells whoever waits that something changed: tests wait for facts, never for time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class Changes:
    """One place where every change of the imitation is noted."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def note(self) -> None:
        """Wake all who wait; they look again."""
        self.count += 1
        changed, self._next = self._next, asyncio.Event()
        changed.set()

    async def until(self, predicate: Callable[[], _T], *, timeout: float | None = 90.0) -> _T:
        """The first true value of the predicate, which is asked again after each change."""
        async with asyncio.timeout(timeout):
            while not (found := predicate()):
                await self._next.wait()
        return found
