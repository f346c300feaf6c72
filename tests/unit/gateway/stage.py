"""A served channel in the imitation of Discord, people of every standing, and the real store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from repobridge.session import events as ev
from repobridge_gateway.access import (
    EVERY_MODEL,
    GUILD_WIDE,
    Access,
    Members,
    Permission,
    Rule,
)
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.chat import ChatEvent, ChatMessage, Interaction, InteractionKind
from repobridge_gateway.clicks import Asked
from repobridge_gateway.decisions import Decisions
from repobridge_gateway.desk import Desk
from repobridge_gateway.pacer import Priority
from repobridge_gateway.render.answer import render_answer
from repobridge_gateway.render.missed import render_missed
from repobridge_gateway.render.pieces import Button, Piece, Row
from repobridge_gateway.render.turn_view import TurnView
from repobridge_gateway.requested import LOST, TURN, Request, make_key, make_request, make_turn
from repobridge_gateway.sender import Sender
from repobridge_gateway.slash import SlashCommands
from repobridge_gateway.speech import outgoing
from repobridge_gateway.store.port import Delivery
from repobridge_gateway.store.sqlite import SqliteStore
from tests.fakes.discord import Channel, Discord, Guild, Message, Person, SeenMessage
from tests.unit.gateway.bots import Heard, heard
from tests.unit.gateway.bridges import HandBridge, HandOperations
from tests.unit.gateway.render.turns import view_of

UID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
AT = 1_790_000_000.0
RIGHTS: Mapping[str, frozenset[Permission]] = {
    "asker": frozenset({Permission.PROMPT}),
    "approver": frozenset({Permission.PROMPT, Permission.APPROVE}),
    "manager": frozenset(Permission) - GUILD_WIDE,
}


def models_of(name: str) -> frozenset[str]:
    """The models that somebody of a standing may use: a manager all, others the bridge's own."""
    return frozenset({EVERY_MODEL}) if name == "manager" else frozenset()


@dataclass
class Stage:
    """What a test of decisions or commands needs; `passer_by` has no role at all."""

    discord: Discord
    guild: Guild
    channel: Channel
    people: Mapping[str, Person]
    bot: Heard
    store: SqliteStore
    bridge: HandBridge
    served: Served
    channels: FixedChannels
    sender: Sender
    decisions: Decisions
    slash: SlashCommands
    operations: HandOperations
    woken: list[str] = field(default_factory=list)
    """Bridges whose inbox has something to hand over."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _sequence: int = 0

    # ------------------------------------------------------------ decisions

    async def ask(self, request: Request) -> SeenMessage:
        """The message of a request, as the courier and the sender bring it there."""
        self.decisions.asked(UID, request)
        return await self.ask_unremembered(request)

    async def ask_unremembered(self, request: Request) -> SeenMessage:
        """That message, of a request that an earlier gateway heard of."""
        event = self._event(request)
        said, asked = make_request(UID, request, event, channel_id=self.served.channel_id)
        delivery = Delivery(bridge=UID, cursor=self._cursor(), pieces=(said,), asked=(asked,))
        return await self._deliver(delivery)

    async def open_turn(self, asked_by: Message | None = None) -> str:
        """The custom id of the Stop button of a turn."""
        if asked_by is not None:
            await self.receive(asked_by)
        message_id = str(asked_by.id) if asked_by is not None else ""
        event = self._event(ev.TurnOpened(ev.TurnOrigin.MESSAGE, message_id))
        row = make_turn(
            UID, event, channel_id=self.served.channel_id, kind=TURN, message_id=message_id
        )
        await self.store.outbox.deliver(Delivery(bridge=UID, cursor=self._cursor(), asked=(row,)))
        return f"rb1:turn:{row.ulid}:stop"

    async def lose_turn(self, asked_by: Message) -> SeenMessage:
        """The message of a lost turn."""
        await self.receive(asked_by)
        ended = ev.TurnEnded(ev.TurnOutcome.LOST, ev.TurnError("Crashed", "It crashed."))
        event = self._event(ended)
        view: TurnView = view_of((0.0, ev.TurnOpened(ev.TurnOrigin.MESSAGE)), (1.0, ended))
        key = make_key(UID, f"{LOST} {event.turn_id}", at=event.at)
        pieces = render_answer(view, ended, threshold=1500, key=key)
        said = outgoing(f"turn {event.turn_id}", self.served.channel_id, pieces)
        row = make_turn(
            UID,
            event,
            channel_id=self.served.channel_id,
            kind=LOST,
            message_id=str(asked_by.id),
            nonce=said[-1].nonce,
        )
        delivery = Delivery(bridge=UID, cursor=self._cursor(), pieces=said, asked=(row,))
        return await self._deliver(delivery)

    async def spoken(self, person: Person, text: str) -> ChatMessage:
        """What somebody says, as the bot hears it."""
        return await self.hearing(person.say(self.channel, text))

    async def hearing(self, said: Message) -> ChatMessage:
        """A message as the bot hears it."""

        def found() -> ChatMessage | None:
            told = self.bot.of(ChatMessage)
            return next((each for each in told if each.message_id == str(said.id)), None)

        message = await self.discord.until(found)
        assert message is not None
        return message

    async def miss(self, messages: Sequence[ChatMessage]) -> SeenMessage:
        """The notice of messages that are too old to be run, as the catch-up leaves it."""
        gap = await self.store.gaps.open_gap(
            self.served.channel_id, bridge=UID, conversation="main", reason="away", first="0"
        )
        last = messages[-1].message_id
        filled = await self.store.gaps.fill(gap, messages, through=last, is_last=True)
        assert filled is not None
        piece = render_missed(len(messages), group=gap.gap_id)
        said = outgoing(f"missed {gap.gap_id}", self.served.channel_id, [piece])
        assert await self.store.gaps.close_gap(filled, say=said) is not None
        self.sender.look()
        return await self.discord.until_seen(self.channel, lambda each: bool(each.buttons))

    async def repeated(self, message: SeenMessage) -> SeenMessage:
        """Another message with the buttons of one that has lost them."""
        rows = (Row(tuple(Button(each.label, each.custom_id or "") for each in message.buttons)),)
        piece = Piece(message.content, components=rows)
        channel_id = self.served.channel_id
        sent = await self.bot.rest.send(channel_id, piece, nonce="r", priority=Priority.NOTICE)
        return next(each for each in self.discord.seen(self.channel) if each.id == int(sent))

    async def resolve(self, resolved: ev.RequestResolved, *, is_heard: bool = True) -> None:
        """The end of a request; unheard, the gateway was killed behind the commit."""
        delivery = Delivery(bridge=UID, cursor=self._cursor(), resolved=(resolved.request_id,))
        await self.store.outbox.deliver(delivery)
        if is_heard:
            self.decisions.resolved(UID, resolved, at=AT)

    async def receive(self, message: Message) -> None:
        """The inbox's row of a person's message."""
        heard_of = await self.hearing(message)
        await self.store.inbox.receive(heard_of, bridge=UID, conversation="main")

    async def open_row(self) -> Asked:
        """The only open request."""
        (row,) = await self.store.clicks.open_requests(UID)
        return row

    async def restart(self) -> None:
        """Another gateway on the same store, that remembers nothing; the desk is closed."""
        await self.end()
        self.decisions = make_decisions(self.store, self.bot, self.channels, self.woken)
        for work in (self.sender.run(), self.decisions.run()):
            self.begin(asyncio.create_task(work))

    def hear(self, event: ChatEvent) -> None:
        """What the bot tells goes where it belongs."""
        is_command = isinstance(event, Interaction) and event.kind in {
            InteractionKind.COMMAND,
            InteractionKind.AUTOCOMPLETE,
        }
        if isinstance(event, Interaction) and is_command:
            self.slash.interaction(event)
        elif isinstance(event, Interaction):
            self.decisions.interaction(event)

    def begin(self, work: asyncio.Task[None]) -> None:
        """Ends a task with the stage; what it fails with fails the test."""
        work.add_done_callback(lambda _: self.discord.changes.note())
        self._tasks.append(work)

    async def end(self) -> None:
        """Ends everything."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for failure in (end for end in ends if isinstance(end, Exception)):
            raise failure

    def desk(self) -> Desk:
        """The bridge's desk, whose courier tells the decisions."""
        rest = self.bot.rest
        return Desk(
            UID,
            self.channels,
            store=self.store,
            rest=rest,
            members=Members(rest, clock=self.discord.clock.wall),
            told=self.sender.look,
            ears=self.decisions,
        )

    async def settled(self, message: SeenMessage, says: Callable[[SeenMessage], object]) -> str:
        """What a message says once its buttons are gone and it says so."""

        def is_settled(each: SeenMessage) -> bool:
            return each.id == message.id and not each.buttons and bool(says(each))

        return (await self.discord.until_seen(self.channel, is_settled)).content

    async def _deliver(self, delivery: Delivery) -> SeenMessage:
        before = {each.id for each in self.discord.seen(self.channel)}
        await self.store.outbox.deliver(delivery)
        self.sender.look()
        shown = await self.discord.until_seen(self.channel, lambda each: each.id not in before)
        # Nobody can click before that in a test that knows the message by what Discord shows.
        async with asyncio.timeout(90):
            while not all(
                row.message_id
                for row in await self.store.clicks.open_requests(UID)
                if row.kind != TURN
            ):
                await asyncio.sleep(0.01)
        return shown

    def _event(self, body: ev.Body) -> ev.Event:
        self._sequence += 1
        turn_id = f"t{self._sequence}"
        return ev.Event(body, "main", turn_id=turn_id, at=AT + self._sequence)

    def _cursor(self) -> ev.Cursor:
        self._sequence += 1
        return ev.Cursor("log", self._sequence)


def make_decisions(
    store: SqliteStore, bot: Heard, channels: FixedChannels, woken: list[str]
) -> Decisions:
    """Decisions that remember nothing."""
    return Decisions(
        store=store, rest=bot.rest, channels=channels, work=woken.append, clock=lambda: AT
    )


@asynccontextmanager
async def staged(
    directory: Path, discord: Discord, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Stage]:
    """A stage whose parts run; the store's `clock` says what is long ago."""
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "payments")
    roles = {name: discord.add_role(guild, name) for name in RIGHTS}
    people = {name: discord.add_person(guild, f"the-{name}", roles[name]) for name in RIGHTS}
    people["passer_by"] = discord.add_person(guild, "passer-by")
    rules = tuple(
        Rule(role_id=str(roles[name].id), permissions=rights, models=models_of(name))
        for name, rights in RIGHTS.items()
    )
    bridge = HandBridge(wanted=discord.changes.note)
    served = Served(
        uid=UID,
        bridge=bridge,
        channel_id=str(channel.id),
        created_at=0.0,
        access=Access(rules=rules),
    )
    store = await SqliteStore.open(directory / "store", clock=clock)
    async with heard(discord) as bot:
        channels = FixedChannels([served])
        sender = Sender(store, bot.rest)
        woken: list[str] = []
        operations = HandOperations()
        decisions = make_decisions(store, bot, channels, woken)
        stage = Stage(
            discord=discord,
            guild=guild,
            channel=channel,
            people=people,
            bot=bot,
            store=store,
            bridge=bridge,
            served=served,
            channels=channels,
            sender=sender,
            decisions=decisions,
            slash=SlashCommands(
                store=store,
                rest=bot.rest,
                channels=channels,
                members=Members(bot.rest, clock=discord.clock.wall),
                operations=operations,
                guild_of=bot.bot.guild_of,
                told=sender.look,
                clock=clock,
            ),
            operations=operations,
            woken=woken,
        )
        bot.listeners.append(stage.hear)
        for work in (sender.run(), decisions.run()):
            stage.begin(asyncio.create_task(work))
        try:
            yield stage
        finally:
            await stage.slash.close()
            await stage.end()
            await store.close()
