"""A sender on a real store and a connected bot, with a clock that a test moves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from repobridge_gateway.outbox import Outgoing
from repobridge_gateway.render.pieces import Piece
from repobridge_gateway.sender import Outcome, Sender
from repobridge_gateway.speech import outgoing
from repobridge_gateway.steady import Steady
from repobridge_gateway.store.sqlite import SqliteStore
from tests.fakes.discord import Channel, Discord, Message
from tests.unit.gateway.bots import Heard, Noted

BRIDGE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


class Standing:
    """Steady time that passes only when a test says so."""

    def __init__(self) -> None:
        self.now = Steady("this boot", 1000.0)
        self.skew = 0.0
        """By how much the clock on our wall is ahead of Discord's."""

    def __call__(self) -> Steady:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now = replace(self.now, seconds=self.now.seconds + seconds)

    def reboot(self) -> None:
        self.now = Steady("another boot", 5.0)


@dataclass
class Post:
    """One gateway's outbox with its sender; `crash` ends it as a kill would, for the store."""

    discord: Discord
    bot: Heard
    store: SqliteStore
    clock: Standing
    sender: Sender
    task: asyncio.Task[None]

    async def say(
        self, channel: Channel, *texts: str, turn: str = "t1", to: Message | None = None
    ) -> None:
        """Puts an answer into the outbox, and has it sent."""
        reply = str(to.id) if to is not None else ""
        pieces = [Piece(text, reply_to="" if at else reply) for at, text in enumerate(texts)]
        await self.put(*outgoing(turn, str(channel.id), pieces))

    async def put(self, *pieces: Outgoing) -> None:
        await self.store.outbox.say(BRIDGE, pieces)
        self.sender.look()

    async def counted(self, **counts: int) -> None:
        """Waits until so many attempts came to these outcomes, and no other did."""
        wanted = {Outcome[name.upper()]: number for name, number in counts.items()}
        await self.discord.until(lambda: self.sender.counted == wanted)

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.sender.look()

    async def hurried(self, is_done: Callable[[], bool]) -> None:
        """Lets a minute pass after each request, until something is so."""
        while not is_done():
            before = len(self.discord.requests)
            await self.later(61)
            await self.discord.until(lambda: len(self.discord.requests) > before or is_done())  # noqa: B023

    async def crash(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def restart(self) -> None:
        self.sender, self.task = _started(self.discord, self.bot, self.store, self.clock)

    async def open_channels(self) -> int:
        """How many channels have something to come, once all that was begun is on disk."""
        await self.store.outbox.say(BRIDGE, [])
        return len(await self.store.outbox.due())

    async def states(self) -> dict[str, int]:
        counts = await self.store.outbox.counts()
        return {state.lower(): number for state, number in counts.items() if number}


def _started(
    discord: Discord, bot: Heard, store: SqliteStore, clock: Standing
) -> tuple[Sender, asyncio.Task[None]]:
    sender = Sender(store, bot.rest, clock=clock, wall=lambda: discord.clock.wall() + clock.skew)
    sender.counted = Noted(discord.changes)
    task = asyncio.create_task(sender.run())
    task.add_done_callback(lambda _: discord.changes.note())
    return sender, task


@contextlib.asynccontextmanager
async def posting(discord: Discord, bot: Heard, directory: Path) -> AsyncIterator[Post]:
    """A sender that runs; that it failed is raised."""
    store = await SqliteStore.open(directory, clock=discord.clock.wall)
    clock = Standing()
    sender, task = _started(discord, bot, store, clock)
    post = Post(discord, bot, store, clock, sender, task)
    try:
        yield post
        assert not post.task.done(), post.task.result()
    finally:
        await post.crash()
        await store.close()
