"""Takes in what people do in channels: kept durably and in order, before anything else happens.

`hear` is called by the websocket's handlers and never waits. What belongs to one channel is taken
in one after the other, channels beside each other, so that many share one commit. What comes while
too much waits is not kept: its channel gets a gap, which history fills.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.telemetry import Logger
from repobridge_gateway import commands
from repobridge_gateway.access import Members
from repobridge_gateway.admission import Admission, admission
from repobridge_gateway.channels import Channels, Served, conversation_of, served_at
from repobridge_gateway.chat import (
    ChannelGone,
    ChatError,
    ChatEvent,
    ChatMessage,
    Connected,
    Disconnected,
    GuildSeen,
    Interaction,
    MessageEdited,
    MessagesDeleted,
    OwnMessage,
    Person,
    Place,
    Reaction,
    ThreadSeen,
    time_of,
)
from repobridge_gateway.commands import ToAgent
from repobridge_gateway.inbox import Effect
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.speech import sentence
from repobridge_gateway.store.port import Say, Store
from repobridge_gateway.threadlists import is_final
from repobridge_gateway.throttle import Throttle
from repobridge_gateway.toldonce import ToldOnce

WAITING = 10_000
"""Events that may wait to be taken in."""
_STORE_AGAIN_SECONDS = 1.0
_NO_WORDS = (
    "There is nothing in that for the agent to read: of what is forwarded, of polls and of stickers"
    " it hears nothing. Write it as a message, or attach it as a file."
)
_log = Logger(__name__)


class Places(Protocol):
    """Where a channel is that the websocket has not told of."""

    async def place(self, channel_id: str) -> Place:
        """Where it is; raises ChatError."""


class Hearers(Protocol):
    """Who else wants to know of what happens."""

    def connected(self, *, resumed: bool) -> None:
        """Discord speaks to us again."""

    def overflowed(self, channel_id: str) -> None:
        """A channel's event was not kept."""

    async def hold(self, place: Place) -> None:
        """Opens the gap of a place that may have missed something, before anything is kept."""

    def edited(self, channel_id: str) -> None:
        """A message changed: a page of history that was read before may be older."""

    def work(self, uid: str) -> None:
        """There is something to do for a bridge."""

    def said(self) -> None:
        """A sentence is to be sent."""

    def settled(self, uid: str) -> None:
        """A bridge's piece was seen in its channel, or its channel is gone."""

    def interaction(self, interaction: Interaction) -> None:
        """Somebody clicked or commanded."""

    def text_command(self, message: ChatMessage, served: Served) -> None:
        """Somebody wrote a command of ours as text."""

    def channel_gone(self, channel_id: str) -> None:
        """A channel is not there any more."""

    async def reacted(self, reaction: Reaction, served: Served) -> None:
        """Somebody reacted to a message of a served channel; awaited before what comes later."""

    def thread_seen(self, thread: ThreadSeen) -> None:
        """A thread was made, archived or revived."""


class Reception:
    """The way of events from the websocket into the store."""

    def __init__(
        self,
        *,
        store: Store,
        channels: Channels,
        places: Places,
        members: Members,
        hearers: Hearers,
        throttle: Throttle | None = None,
        metrics: GatewayMetrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Without a `throttle` no limits of rate hold."""
        self._throttle = throttle
        self._metrics = metrics or GatewayMetrics()
        self._clock = clock
        self._store = store
        self._channels = channels
        self._places = places
        self._members = members
        self._hearers = hearers
        self._lanes: dict[str, deque[ChatEvent]] = {}
        self._waiting = 0
        self._parents: dict[str, Place] = {}
        self._refused = ToldOnce()
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def waiting(self) -> int:
        """How many events wait to be taken in."""
        return self._waiting

    def hear(self, event: ChatEvent) -> None:
        """Takes an event; returns at once."""
        match event:
            case Connected(resumed=resumed):
                self._hearers.connected(resumed=resumed)
            case Disconnected() | GuildSeen():
                pass
            case Interaction():
                self._hearers.interaction(event)  # due in 3 seconds: it overtakes
            case _:
                self._enqueue(_channel_of(event), event)

    async def run(self) -> None:
        """Takes in until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for channel_id in tuple(self._lanes):
                    tasks.create_task(self._work(channel_id), name=f"channel {channel_id}")
                await asyncio.Event().wait()
        finally:
            self._tasks = None  # what is heard from now on waits, as it did before

    def _enqueue(self, channel_id: str, event: ChatEvent) -> None:
        if self._waiting >= WAITING:
            _log.warning("event not kept", channel=channel_id, kind=type(event).__name__)
            self._hearers.overflowed(channel_id)
            return
        self._waiting += 1
        lane = self._lanes.get(channel_id)
        if lane is not None:
            lane.append(event)
            return
        self._lanes[channel_id] = deque([event])
        if self._tasks is not None:
            self._tasks.create_task(self._work(channel_id), name=f"channel {channel_id}")

    async def _work(self, channel_id: str) -> None:
        """Takes in what waits of one channel, and ends when nothing does."""
        lane = self._lanes[channel_id]
        while lane:
            event = lane[0]
            try:
                await self._take_in(event)
            except Refusal as refusal:
                # While the disk is full nothing is dropped; a queue too long becomes a gap.
                _log.error("not kept yet", channel=channel_id, error=str(refusal))
                await asyncio.sleep(_STORE_AGAIN_SECONDS)
                continue
            except Exception as error:  # one event must not end the others
                _log.error("event not taken in", cause=error, kind=type(event).__name__)
            lane.popleft()
            self._waiting -= 1
        del self._lanes[channel_id]

    async def _take_in(self, event: ChatEvent) -> None:
        match event:
            case ChatMessage():
                await self._message(event)
            case MessageEdited():
                await self._edited(event)
            case MessagesDeleted():
                await self._deleted(event)
            case OwnMessage(nonce=nonce, message_id=message_id):
                if uid := await self._store.outbox.seen_own(nonce, message_id=message_id):
                    self._hearers.settled(uid)
            case ChannelGone(channel_id=channel_id):
                for uid in await self._store.inbox.end_channel(channel_id):
                    self._hearers.settled(uid)
                self._hearers.channel_gone(channel_id)
            case ThreadSeen():
                self._remember(event.place)
                self._hearers.thread_seen(event)
            case Reaction(place=place):
                if served := self._channels.served.value.get(place.channel_id):
                    await self._hearers.reacted(event, served)

    # ------------------------------------------------------------- messages

    async def _message(self, message: ChatMessage) -> None:
        place = await self._known(message.place)
        served = served_at(self._channels, place) if place is not None else None
        if place is None or served is None:
            return
        message = replace(message, place=place)
        await self._hearers.hold(place)
        if not _is_for_us(message, served):
            await self._store.inbox.pass_by(place.channel_id, message.message_id)
            return
        text = commands.parse(message.content)
        if not isinstance(text, ToAgent):
            await self._store.inbox.pass_by(place.channel_id, message.message_id)
            self._hearers.text_command(message, served)
            return
        found = await self._admission(message, served, text)
        why_not = found.refusal
        user_id, now = message.author.user_id, self._clock()
        if why_not and self._refused.has_told(
            place.channel_id, user_id, message.message_id, now=now
        ):
            await self._store.inbox.pass_by(place.channel_id, message.message_id)
            return
        if why := why_not or _why_unread(message):
            said = sentence(f"refused {message.message_id}", place.channel_id, why,
                            reply_to=message.message_id)  # fmt: skip
            # In this order: what is only said again after a crash is said once.
            await self._store.outbox.say(served.uid, said)
            self._hearers.said()
            await self._store.inbox.pass_by(place.channel_id, message.message_id)
            return
        if await self._is_limited(message, served, found.person or message.author):
            return
        receipt = await self._store.inbox.receive(
            message, bridge=served.uid, conversation=conversation_of(served, place)
        )
        if receipt.is_new:
            self._metrics.kept(self._clock() - time_of(message.message_id))
            _log.debug("message kept", message_id=message.message_id, state=receipt.state.value)
            self._hearers.work(served.uid)

    async def _admission(self, message: ChatMessage, served: Served, text: ToAgent) -> Admission:
        """Whether somebody may ask here, before anything is done for it.

        Where that can't be learned now, it is kept, and learned before it is run.
        """
        author, guild_id = message.author, message.place.guild_id
        try:
            return await admission(served, author, text, guild_id=guild_id, members=self._members)
        except ChatError as error:
            _log.warning("roles not known", user=author.user_id, error=str(error))
            return Admission()

    async def _is_limited(self, message: ChatMessage, served: Served, author: Person) -> bool:
        """Charges a message; one for which there is no room is over with that.

        Where that can't be done now, it waits here, and so does what its channel tells later: the
        cursor stands before it, so that history brings what a crash would lose.
        """
        place, message_id = message.place, message.message_id
        if self._throttle is None:
            return False
        denied = await self._throttle.charge(message_id, served=served, person=author, place=place)
        if denied is None:
            return False
        said: Say = ()
        if denied.sentence:
            name = f"limited {message_id}"
            said = sentence(name, place.channel_id, denied.sentence, reply_to=message_id)
        conversation = conversation_of(served, place)
        if await self._store.inbox.turn_away(
            message, bridge=served.uid, conversation=conversation, reason="RateLimited", say=said
        ):
            self._hearers.said()
        return True

    async def _edited(self, event: MessageEdited) -> None:
        text = "That message was edited, but the agent had begun with it; `/cancel` stops it."
        channel = event.place.channel_id
        said = sentence(f"too late {event.message_id}", channel, text, reply_to=event.message_id)
        self._hearers.edited(channel)
        effect = await self._store.inbox.edit(event, say=said)
        await self._follow_up(event.message_id, effect)

    async def _deleted(self, event: MessagesDeleted) -> None:
        self._hearers.edited(event.channel_id)
        effects = await self._store.inbox.delete(event.channel_id, event.message_ids)
        for message_id, effect in effects.items():
            await self._follow_up(message_id, effect)

    async def _follow_up(self, message_id: str, effect: Effect) -> None:
        if effect is Effect.TOO_LATE:
            self._hearers.said()
        elif effect is Effect.WISHED and (kept := await self._store.inbox.find(message_id)):
            self._hearers.work(kept.bridge)

    # --------------------------------------------------------------- places

    async def _known(self, place: Place) -> Place | None:
        """A place with its parent; None where the channel is gone by now."""
        if place.parent_id is not None:
            self._remember(place)
            return place
        found = self._parents.get(place.channel_id)
        if found is None:
            while True:
                try:
                    found = await self._places.place(place.channel_id)
                    break
                except ChatError as error:
                    if is_final(error):
                        return None
                    # To go on without it would lose the message; a proxy's page says nothing of it.
                    _log.warning(
                        "channel not known yet", channel=place.channel_id, error=str(error)
                    )
                    await asyncio.sleep(_STORE_AGAIN_SECONDS)
            self._remember(found)
        return found

    def _remember(self, place: Place) -> None:
        if place.parent_id:
            self._parents[place.channel_id] = place
            if len(self._parents) > WAITING:
                del self._parents[next(iter(self._parents))]


def _is_for_us(message: ChatMessage, served: Served) -> bool:
    return message.mentions_us or message.place.is_ours or not served.require_mention


def _why_unread(message: ChatMessage) -> str:
    """Why there is nothing to run in a message; empty: there is."""
    return "" if message.content.strip() or message.attachments else _NO_WORDS


def _channel_of(event: ChatEvent) -> str:
    match event:
        case ChatMessage(place=place) | MessageEdited(place=place) | Reaction(place=place):
            return place.channel_id
        case ThreadSeen(place=place):
            return place.channel_id
        case MessagesDeleted() | OwnMessage() | ChannelGone():
            return event.channel_id
    return ""
