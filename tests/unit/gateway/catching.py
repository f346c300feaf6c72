"""A gateway's ears on a real store: what the bot hears is kept, and what it missed is caught up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import cast

from repobridge_gateway.access import OPEN
from repobridge_gateway.catchup import CatchUp, Ending
from repobridge_gateway.channels import FixedChannels, Served, conversation_of, served_at
from repobridge_gateway.chat import (
    ChatEvent,
    ChatMessage,
    Connected,
    MessageEdited,
    MessagesDeleted,
)
from repobridge_gateway.fleet.port import Bridge
from repobridge_gateway.pacer import Pacer
from repobridge_gateway.pauses import Pauses
from repobridge_gateway.store.sqlite import SqliteStore
from tests.fakes.discord import Channel, Discord
from tests.unit.gateway.bots import Heard, Noted, connected

NOBODY = cast(Bridge, None)
"""Catching up asks nothing of a bridge."""


def serving(
    channel: Channel,
    *,
    created_at: float,
    require_mention: bool = False,
    threads_are_sessions: bool = True,
) -> Served:
    """A bridge with that channel."""
    return Served(
        uid=f"uid of {channel.name}",
        bridge=NOBODY,
        channel_id=str(channel.id),
        created_at=created_at,
        access=OPEN,
        require_mention=require_mention,
        threads_are_sessions=threads_are_sessions,
    )


class Ears(Heard):
    """A connected bot whose events go into a store, each channel's after its gap was looked to."""

    def __init__(self, discord: Discord, store: SqliteStore, channels: FixedChannels) -> None:
        super().__init__(discord)
        self.pacer = Pacer(per_second=10_000.0)
        self.rest._pacer = self.pacer
        self.taken_in = 0
        self.drops: set[str] = set()
        """Texts whose events are not kept, as if too many waited."""
        self.worked: list[str] = []
        self.settled: list[str] = []
        self.said = 0
        self._store = store
        self._channels = channels
        self._queue: asyncio.Queue[ChatEvent] = asyncio.Queue()
        self.catch_up = CatchUp(
            store,
            self.rest,
            channels,
            work=self._work,
            said=self._say,
            settled=self.settled.append,
            clock=discord.clock.wall,
            pauses=Pauses(first_seconds=0.01),
        )
        self.catch_up.endings = Noted(discord.changes)

    def _work(self, uid: str) -> None:
        self.worked.append(uid)

    def _say(self) -> None:
        self.said += 1

    def _hear(self, event: ChatEvent) -> None:
        super()._hear(event)
        match event:
            case Connected(resumed=resumed):
                self.catch_up.connected(resumed=resumed)
            case MessageEdited(place=place):
                self.catch_up.edited(place.channel_id)
            case ChatMessage(content=content, place=place) if content in self.drops:
                self.catch_up.overflowed(place.channel_id)
                return
        self._queue.put_nowait(event)

    async def take_in(self) -> None:
        while True:
            await self._take_in(await self._queue.get())
            self.taken_in += 1
            self.discord.changes.note()

    async def _take_in(self, event: ChatEvent) -> None:
        match event:
            case ChatMessage(place=place):
                served = served_at(self._channels, place)
                if served is not None:
                    await self.catch_up.hold(place)
                    conversation = conversation_of(served, place)
                    await self._store.inbox.receive(
                        event, bridge=served.uid, conversation=conversation
                    )
            case MessageEdited():
                await self._store.inbox.edit(event)
            case MessagesDeleted(channel_id=channel_id, message_ids=message_ids):
                await self._store.inbox.delete(channel_id, message_ids)

    async def next_taken_in(self, kind: type[ChatEvent], *, number: int = 1) -> None:
        """Waits until the n-th event of a kind, and all before it, are in the store."""
        await self.next(kind, number=number)
        await self.discord.until(lambda: self._queue.empty() and self.taken_in == self.heard)

    @property
    def heard(self) -> int:
        dropped = [each for each in self.of(ChatMessage) if each.content in self.drops]
        return len(self.events) - len(dropped)

    async def caught_up(self, **endings: int) -> None:
        """Waits until no gap is open, and so many ended in these ways."""
        wanted = {Ending[name.upper()]: number for name, number in endings.items()}
        await self.discord.until(
            lambda: self.catch_up.endings == wanted and not self.catch_up.open_gaps
        )


@contextlib.asynccontextmanager
async def listening(
    discord: Discord, served: Iterable[Served] | FixedChannels, store: SqliteStore
) -> AsyncIterator[Ears]:
    """Ears that are connected; at the end they are deaf at once, as a kill would make them."""
    channels = served if isinstance(served, FixedChannels) else FixedChannels(served)
    ears = Ears(discord, store, channels)
    async with connected(ears, ears.take_in(), ears.catch_up.run()):
        yield ears


@contextlib.asynccontextmanager
async def a_store(discord: Discord, directory: Path) -> AsyncIterator[SqliteStore]:
    """A store by Discord's clock."""
    store = await SqliteStore.open(directory, clock=discord.clock.wall)
    try:
        yield store
    finally:
        await store.close()
