"""A value that tasks can wait on: level-triggered, so that nobody misses what is still true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Watched(Generic[T]):
    """A value, and everybody who waits for it to become something."""

    def __init__(self, value: T) -> None:
        self._value = value
        self._changed = asyncio.Event()

    @property
    def value(self) -> T:
        """What it is now."""
        return self._value

    def set(self, value: T) -> None:
        """Changes it and wakes who waits."""
        self._value = value
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> T:
        """Waits for the next change; returns the newest value."""
        await self._changed.wait()
        return self._value

    async def until(self, holds: Callable[[T], bool]) -> T:
        """Waits until a condition holds, if it does not already."""
        while not holds(self._value):
            await self._changed.wait()
        return self._value
