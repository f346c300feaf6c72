"""Our bot at the imitation of Discord: what it hears, kept in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import pydantic

from repobridge_gateway.bot.client import Bot, BotSettings
from repobridge_gateway.chat import ChatEvent, Connected
from repobridge_gateway.pacer import Pacer
from tests.fakes.discord import Discord
from tests.fakes.discord.changes import Changes

_E = TypeVar("_E")


class Noted(Counter[_E]):
    """Counts, and wakes who waits for a count."""

    def __init__(self, changes: Changes) -> None:
        super().__init__()
        self._changes = changes

    def __setitem__(self, key: _E, value: int) -> None:
        super().__setitem__(key, value)
        self._changes.note()


class Heard:
    """A connected bot, and every event that it heard."""

    def __init__(self, discord: Discord, *, token: str = "") -> None:
        self.discord = discord
        self.events: list[ChatEvent] = []
        self.listeners: list[Callable[[ChatEvent], None]] = []
        self.pacer = Pacer()
        settings = BotSettings(
            token=pydantic.SecretStr(token or discord.token),
            api_base=discord.api_base,
        )
        self.bot = Bot(settings, hear=self._hear, pacer=self.pacer)
        self.rest = self.bot.rest

    def _hear(self, event: ChatEvent) -> None:
        self.events.append(event)
        for listener in self.listeners:
            listener(event)
        self.discord.changes.note()

    def of(self, kind: type[_E]) -> list[_E]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def next(self, kind: type[_E], *, number: int = 1) -> _E:
        """The n-th event of a kind."""
        await self.discord.until(lambda: len(self.of(kind)) >= number)
        return self.of(kind)[number - 1]


@contextlib.asynccontextmanager
async def heard(discord: Discord) -> AsyncIterator[Heard]:
    """A bot that is connected; what it fails with is raised."""
    made = Heard(discord)
    async with connected(made):
        yield made


@contextlib.asynccontextmanager
async def connected(made: Heard, *works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs a bot, which is connected then, and works beside it; all end at once, as by a kill."""
    runs = (made.pacer.run(), made.bot.run(), *works)
    tasks = [asyncio.create_task(each) for each in runs]
    for task in tasks:
        task.add_done_callback(lambda _: made.discord.changes.note())
    try:
        await made.discord.until(lambda: made.of(Connected) or any(task.done() for task in tasks))
        yield
        for task in tasks:
            assert not task.done(), task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
