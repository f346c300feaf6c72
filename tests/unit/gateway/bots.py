"""Our bot at the imitation of Discord: what it hears, kept in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import pydantic

from repobridge_gateway.bot.client import Bot, BotSettings
from repobridge_gateway.chat import ChatEvent, Connected
from repobridge_gateway.pacer import Pacer
from tests.fakes.discord import Discord

_E = TypeVar("_E")


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
    tasks = [asyncio.create_task(each) for each in (made.pacer.run(), made.bot.run())]
    for task in tasks:
        task.add_done_callback(lambda _: discord.changes.note())
    try:
        await discord.until(lambda: made.of(Connected) or any(task.done() for task in tasks))
        yield made
        for task in tasks:
            assert not task.done(), task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
