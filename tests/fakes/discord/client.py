"""Runs a discord.py client against the imitation, and leaves the library as it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

import discord
import yarl
from discord.gateway import DiscordWebSocket
from discord.http import Route

from tests.fakes.discord.control import Discord

PRESENCES = discord.Intents(presences=True)
_Client = TypeVar("_Client", bound=discord.Client)


class Bot(discord.Client):
    """A client that keeps every event it was told of, and is ready as soon as its guilds are."""

    def __init__(
        self, fake: Discord, *, intents: discord.Intents | None = None, **options: Any
    ) -> None:
        options = {"guild_ready_timeout": 0.02, "max_messages": 1000} | options
        super().__init__(intents=intents or discord.Intents.all() ^ PRESENCES, **options)
        self.events: list[tuple[str, tuple[Any, ...]]] = []
        self._fake = fake

    def dispatch(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Keep the event, and wake the test."""
        super().dispatch(event, *args, **kwargs)
        self.events.append((event, args))
        self._fake.changes.note()

    def told(self, event: str) -> list[Any]:
        """The first arguments of all events of a kind, in order."""
        return [args[0] if args else None for name, args in self.events if name == event]

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Without the five seconds that the real Discord wants between two."""

    async def know_all_guilds(self) -> None:
        """Wait for every guild, and ask for members that a hasty READY left out."""
        if not self.intents.guilds:
            return
        ids = [
            guild.id
            for guild in self._fake.world.guilds.values()
            if self._fake.bot.id in guild.members
        ]
        await self._fake.until(lambda: not any(self._lacks(guild_id) for guild_id in ids))
        for guild in self.guilds:
            if self.intents.members and not guild.chunked:
                await guild.chunk()

    def _lacks(self, guild_id: int) -> bool:
        guild = self.get_guild(guild_id)
        return guild is None or guild.unavailable

    @property
    def heard(self) -> list[str]:
        """What people wrote, in the order in which it came."""
        return [message.content for message in self.told("message") if message.author != self.user]


@contextlib.contextmanager
def pointed_at(fake: Discord) -> Iterator[None]:
    """Let discord.py take the imitation for Discord."""
    base, gateway = Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY
    Route.BASE = fake.api_base
    DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(fake.gateway_url)
    try:
        yield
    finally:
        Route.BASE, DiscordWebSocket.DEFAULT_GATEWAY = base, gateway


@contextlib.asynccontextmanager
async def running(
    client: _Client, fake: Discord, *, token: str | None = None
) -> AsyncIterator[_Client]:
    """Log in, wait for READY, and close at the end; a client that ends before raises its error."""
    with pointed_at(fake):
        tasks: list[asyncio.Task[None]] = []
        try:
            await client.login(token or fake.token)
            connected = asyncio.create_task(client.connect())
            ready = asyncio.create_task(client.wait_until_ready())
            tasks += [connected, ready]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=90)
            if connected.done():
                connected.result()
            if not ready.done():
                raise TimeoutError("the client was not ready in time")
            if isinstance(client, Bot):
                # On a busy machine READY may be over before the guilds have come.
                await client.know_all_guilds()
            yield client
        finally:
            await client.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
