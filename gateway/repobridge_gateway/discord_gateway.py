"""The Discord gateway: one bot, one store, and a desk for each bridge that has a channel.

Everything that must not be lost is in the store; every part here begins with what it finds there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from repobridge.errors import Refusal, Status
from repobridge.telemetry import Logger
from repobridge_gateway.access import Members
from repobridge_gateway.authority import Authority
from repobridge_gateway.bot.client import Bot, BotSettings
from repobridge_gateway.bot.rest import Rest
from repobridge_gateway.catchup import CatchUp
from repobridge_gateway.channels import Channels, Served
from repobridge_gateway.chat import (
    ChatEvent,
    ChatMessage,
    GuildSeen,
    Interaction,
    InteractionKind,
    Place,
    Reaction,
    ThreadSeen,
)
from repobridge_gateway.decisions import Decisions
from repobridge_gateway.desk import Desk, Desks
from repobridge_gateway.limits.ledger import Ledger
from repobridge_gateway.marks import Marks
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.operations import ReloadNow, ServedOperations
from repobridge_gateway.pacer import PER_SECOND, Pacer
from repobridge_gateway.reception import Reception
from repobridge_gateway.registering import Registering
from repobridge_gateway.rights import Rights
from repobridge_gateway.sender import Sender
from repobridge_gateway.slash import SlashCommands
from repobridge_gateway.store.port import Store
from repobridge_gateway.store.sqlite import SqliteStore
from repobridge_gateway.threadstarts import ThreadStarts
from repobridge_gateway.throttle import Throttle
from repobridge_gateway.together import until_first

_TRIM_SECONDS = 3600.0
_COUNT_SECONDS = 5.0
_log = Logger(__name__)


@dataclass(frozen=True, kw_only=True)
class DiscordSettings:
    """What the gateway needs to know of its surroundings."""

    bot: BotSettings
    store_directory: Path
    """On a disk that lasts; one gateway uses it at a time."""
    calls_per_second: float = PER_SECOND
    """Of all routes together; to large bots Discord grants more than to others."""


class Companion(Protocol):
    """What goes on beside the gateway, with the acts of its bot."""

    def hear(self, event: ChatEvent) -> None:
        """Takes each event before it is worked on; returns at once."""

    async def run(self, rest: Rest) -> None:
        """Works until it is cancelled; its failure ends the gateway."""


class DiscordGateway:
    """Serves the channels of bridges, until it is cancelled."""

    def __init__(
        self,
        settings: DiscordSettings,
        channels: Channels,
        *,
        authority: Authority | None = None,
        companion: Companion | None = None,
        metrics: GatewayMetrics | None = None,
        reload: ReloadNow | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`authority` hears of guilds, whose roles rules of the channels may name; `reload` reads
        the settings again, where they have a file.
        """
        self._authority = authority or Authority()
        self.metrics = metrics or GatewayMetrics()
        self._reload = reload
        self._settings = settings
        self._channels = channels
        self._companion = companion
        self._clock = clock

        self._store: Store | None = None
        self._is_open = asyncio.Event()

    async def opened(self) -> None:
        """Waits until it has its store; in vain where that can't be opened, which ends `run`."""
        await self._is_open.wait()

    def ledger(self) -> Ledger:
        """Where limits are remembered; raises a Refusal while it does not serve."""
        if self._store is None:
            raise Refusal(
                Status.UNAVAILABLE,
                "GATEWAY_STARTING",
                "The gateway is starting; try again in a moment.",
            )
        return self._store.ledger

    async def run(self) -> None:
        """Serves; raises BotError for what a person has to mend, and what the store refuses."""
        store = await SqliteStore.open(self._settings.store_directory, clock=self._clock)
        self._store = store
        self._is_open.set()
        try:
            await _Serving(
                self._settings,
                self._channels,
                store,
                authority=self._authority,
                companion=self._companion,
                metrics=self.metrics,
                reload=self._reload,
                clock=self._clock,
            ).run()
        finally:
            self._store = None
            await store.close()


class _Serving:
    """The parts, each of which tells others what there is to look at."""

    def __init__(
        self,
        settings: DiscordSettings,
        channels: Channels,
        store: Store,
        *,
        authority: Authority,
        companion: Companion | None,
        metrics: GatewayMetrics,
        reload: ReloadNow | None,
        clock: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._channels = channels
        self._companion = companion
        self._authority = authority
        self._pacer = Pacer(per_second=settings.calls_per_second)
        self._bot = Bot(settings.bot, hear=self._hear, pacer=self._pacer, answered=metrics.answered)
        authority.learn_from(self._bot.roles)
        rest = self._bot.rest
        members = Members(rest, clock=clock)
        self._sender = Sender(store, rest, wall=clock, settled=self.settled)
        self._catch_up = CatchUp(
            store,
            rest,
            channels,
            work=self.work,
            said=self._sender.look,
            settled=self.settled,
            clock=clock,
        )
        self._marks = Marks(store.inbox, rest)
        throttle = Throttle(lambda: store.ledger, authority=authority, metrics=metrics, clock=clock)
        self._starts = ThreadStarts(
            store,
            rest,
            members,
            work=self.work,
            said=self._sender.look,
            throttle=throttle,
            clock=clock,
        )
        self._rights = Rights(self._bot.lacks, channels, permitted=self._sender.permitted)
        self._decisions = Decisions(
            store=store, rest=rest, channels=channels, work=self.work, clock=clock
        )
        self._commands = SlashCommands(
            store=store,
            rest=rest,
            channels=channels,
            members=members,
            operations=ServedOperations(
                self._sender.last_error, self._rights.problem, reload=reload
            ),
            guild_of=self._bot.guild_of,
            told=self._sender.look,
            clock=clock,
        )
        self._registering = Registering(rest, channels)
        self._connected = asyncio.Event()
        self._desks = Desks(
            channels,
            lambda uid: Desk(
                uid,
                channels,
                store=store,
                rest=rest,
                members=members,
                told=self._sender.look,
                ears=self._decisions,
                guild_of=self._bot.guild_of,
                metrics=metrics,
                clock=clock,
            ),
        )
        self._reception = Reception(
            store=store,
            channels=channels,
            places=rest,
            members=members,
            hearers=self,
            throttle=throttle,
            metrics=metrics,
            clock=clock,
        )

    async def run(self) -> None:
        """Everything at once; the first failure ends all."""
        await self._distrust()
        parts = {
            "bot": self._bot.run(),
            "pacer": self._pacer.run(),
            "reception": self._reception.run(),
            "sender": self._sender.run(),
            "catch-up": self._catch_up.run(),
            "marks": self._marks.run(),
            "threads": self._starts.run(),
            "desks": self._desks.run(),
            "decisions": self._decisions.run(),
            "commands": self._register(),
            "permissions": self._rights.run(),
            "trimming": self._trim(),
            "counting": self._count(),
        }
        if self._companion is not None:
            parts["companion"] = self._companion.run(self._bot.rest)
        try:
            await until_first(parts)
        finally:
            await self._commands.close()

    async def _distrust(self) -> None:
        """Nothing that waits is handed over before it is known what became of it meanwhile."""
        try:
            await self._store.gaps.distrust()
        except Refusal as refusal:
            _log.warning("messages not held", error=str(refusal))

    async def _count(self) -> None:
        while True:
            try:
                work = (await self._store.inbox.work()).values()
                self._metrics.waits(
                    pieces=await self._store.outbox.counts(),
                    messages={
                        "waiting": sum(each.waiting for each in work),
                        "with the runner": sum(each.submitted for each in work),
                    },
                    calls=self._pacer.waiting,
                )
            except Refusal as refusal:
                _log.warning("store not counted", error=str(refusal))
            await asyncio.sleep(_COUNT_SECONDS)

    def _hear(self, event: ChatEvent) -> None:
        if self._companion is not None:
            self._companion.hear(event)
        if isinstance(event, GuildSeen):
            self._authority.look(event.guild_id)
        self._reception.hear(event)

    async def _register(self) -> None:
        """Who we are to register for is known once we are connected."""
        await self._connected.wait()
        await self._registering.run()

    async def _trim(self) -> None:
        while True:
            try:
                served = [each.uid for each in self._channels.served.value.values()]
                rows = await self._store.trim(served) + await self._store.ledger.trim()
                _log.debug("store trimmed", rows=rows)
            except Refusal as refusal:
                # On a full or locked disk everything else waits for its turn: so does this.
                _log.warning("store not trimmed", error=str(refusal))
            await asyncio.sleep(_TRIM_SECONDS)

    # ------------------------------------------------- what the reception tells

    def connected(self, *, resumed: bool) -> None:
        """Discord speaks to us again."""
        self._connected.set()
        self._catch_up.connected(resumed=resumed)

    def overflowed(self, channel_id: str) -> None:
        """A channel's event was not kept."""
        self._catch_up.overflowed(channel_id)

    async def hold(self, place: Place) -> None:
        """Opens the gap of a place that may have missed something, before anything is kept."""
        await self._catch_up.hold(place)

    def edited(self, channel_id: str) -> None:
        """A message changed: a page of history that was read before may be older."""
        self._catch_up.edited(channel_id)

    def work(self, uid: str) -> None:
        """There is something to do for a bridge."""
        self._marks.look()
        self._desks.work(uid)

    def said(self) -> None:
        """A sentence is to be sent."""
        self._sender.look()

    def settled(self, uid: str) -> None:
        """A runner may be told how far we are, and buttons may be out of date."""
        self._sender.look()  # the next of the channel is due
        self._desks.delivered(uid)
        self._decisions.look()

    def interaction(self, interaction: Interaction) -> None:
        """Somebody clicked or commanded."""
        if interaction.kind in {InteractionKind.COMPONENT, InteractionKind.MODAL}:
            self._decisions.interaction(interaction)
        else:
            self._commands.interaction(interaction)

    def text_command(self, message: ChatMessage, served: Served) -> None:
        """Somebody wrote a command of ours as text."""
        self._commands.text_command(message, served)

    def channel_gone(self, channel_id: str) -> None:
        """A channel is not there any more."""

    async def reacted(self, reaction: Reaction, served: Served) -> None:
        """Somebody reacted to a message of a served channel."""
        await self._starts.ask(reaction, served)

    def thread_seen(self, thread: ThreadSeen) -> None:
        """A thread was made, archived or revived."""
        if not thread.is_archived:
            self._sender.permitted(thread.place.channel_id)
