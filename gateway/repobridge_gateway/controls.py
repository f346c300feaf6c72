"""What people's commands do to a bridge and its sessions, however they were given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from repobridge.errors import Refusal
from repobridge.session.events import Actor
from repobridge_gateway.access import Permission, model_refusal, refusal_sentence
from repobridge_gateway.blobtext import LARGEST_BYTES, blob_text
from repobridge_gateway.channels import Served
from repobridge_gateway.chat import Person, Place
from repobridge_gateway.fleet.status import BridgePhase, RunnerLink
from repobridge_gateway.lines import one_line
from repobridge_gateway.pacer import Priority
from repobridge_gateway.render import wording
from repobridge_gateway.render.diff import Diff, render_diff
from repobridge_gateway.render.inline import escaped
from repobridge_gateway.render.pieces import Piece, nonce
from repobridge_gateway.render.standing import Standing, place_of, sessions_text, standing_text
from repobridge_gateway.requested import TURN, turn_of
from repobridge_gateway.session_values import Sessions
from repobridge_gateway.slashspec import SPECS, TITLE_LENGTH, Slash, help_text
from repobridge_gateway.store.port import Store
from repobridge_gateway.verdicts import actor_of

WAKE_SECONDS = 600.0
"""So long a command waits for a bridge to wake; its answer has to come within 15 minutes."""
_GONE = frozenset({"NOT_RUNNING", "UNKNOWN_CONVERSATION"})


class Operations(Protocol):
    """What depends on where the bridges run."""

    def idle_seconds(self, served: Served) -> float | None:
        """After how long without a turn a bridge sleeps; None: never."""

    async def sleep(self, served: Served, actor: Actor) -> None:
        """Has a bridge sleep as soon as nothing runs; raises a Refusal where it can't."""

    async def reload(self, actor: Actor) -> str:
        """Has the settings read again, and says what came of it; raises a Refusal."""

    def attach(self, served: Served, conversation: str) -> str:
        """The command line that opens a session's live terminal."""

    def problems(self, channel_id: str) -> Sequence[str]:
        """What is in the way of a channel, as sentences."""


class Threads(Protocol):
    """Opens threads; each call raises ChatError."""

    async def send(self, channel_id: str, piece: Piece, *, nonce: str, priority: Priority) -> str:
        """Creates a message; its id."""

    async def open_thread(self, channel_id: str, message_id: str, name: str) -> Place:
        """Makes a thread of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A command as it was given."""

    command: Slash
    order_id: str
    """Of the interaction, or of the message."""
    served: Served
    guild_id: str
    conversation: str
    person: Person
    option: str = ""

    @property
    def actor(self) -> Actor:
        """Who gave it, for a runner."""
        return actor_of(self.person)

    @property
    def who(self) -> str:
        """Who gave it, for people."""
        return wording.person(self.actor)


class Controls:
    """Carries commands out."""

    def __init__(
        self, *, store: Store, threads: Threads, operations: Operations, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._threads = threads
        self._operations = operations
        self._clock = clock
        self._acts = {
            Slash.STATUS: self._status,
            Slash.CANCEL: self._cancel,
            Slash.INTERRUPT: self._cancel,
            Slash.RESTART: self._restart,
            Slash.CLEAR: self._clear,
            Slash.NEW: self._new,
            Slash.FORK: self._fork,
            Slash.SESSIONS: self._sessions,
            Slash.SLEEP: self._sleep,
            Slash.DIFF: self._diff,
            Slash.ATTACH: self._attach,
            Slash.MODEL: self._model,
            Slash.MODE: self._mode,
            Slash.RELOAD: self._reload,
            Slash.HELP: self._help,
        }

    async def not_allowed(self, order: Order) -> str:
        """What somebody reads who may not; empty: they may. Raises a Refusal of the store."""
        needed = SPECS[order.command].permission
        if order.command in {Slash.CANCEL, Slash.INTERRUPT} and not await self._is_own(order):
            needed = Permission.MANAGE
        access = order.served.access.at(order.guild_id)
        if not access.may(order.person, needed):
            return refusal_sentence(access, needed)
        if order.command is Slash.MODEL:
            models = access.models(order.person)
            return escaped(model_refusal(models, order.option, own=order.served.model))
        return ""

    async def carry_out(self, order: Order) -> Piece:
        """Does it, and says what came of it; raises Refusal and ChatError."""
        return await self._acts[order.command](order)

    async def _is_own(self, order: Order) -> bool:
        """Whether nobody else asked for what runs now."""
        rows = await self._store.clicks.open_requests(order.served.uid)
        for row in rows:
            if row.kind == TURN and row.conversation == order.conversation:
                message_id = turn_of(row)[1]
                kept = await self._store.inbox.find(message_id) if message_id.isdigit() else None
                if kept is None or kept.message.author.user_id != order.person.user_id:
                    return False
        return True

    # -------------------------------------------------------- what only looks

    async def _reload(self, order: Order) -> Piece:
        return Piece(await self._operations.reload(order.actor))

    async def _help(self, order: Order) -> Piece:
        return Piece(help_text())

    async def _status(self, order: Order) -> Piece:
        served = order.served
        status = served.bridge.status.value
        conversation = order.option or order.conversation
        sessions: Sessions | None = None
        last_activity: float | None = None
        if status.link is not None and status.phase is BridgePhase.READY:
            sessions = await status.link.client.sessions()
            last_activity = (await status.link.client.activity()).last_activity
        standing = Standing(
            name=served.bridge.name,
            status=status,
            waiting=len(await self._store.inbox.queue(served.uid, conversation)),
            sessions=sessions,
            conversation=conversation,
            idle_seconds=self._operations.idle_seconds(served),
            last_activity=last_activity,
            problems=self._operations.problems(served.channel_id),
        )
        return Piece(standing_text(standing, now=self._clock()))

    async def _sessions(self, order: Order) -> Piece:
        link = order.served.bridge.status.value.link
        if link is None:
            return Piece("It is asleep; its sessions resume with the next message to each.")
        text = sessions_text(
            await link.client.sessions(), channel_id=order.served.channel_id, now=self._clock()
        )
        return Piece(text)

    async def _attach(self, order: Order) -> Piece:
        line = self._operations.attach(order.served, order.conversation)
        return Piece(f"On a machine that may reach it:\n```sh\n{line}\n```")

    async def _diff(self, order: Order) -> Piece:
        conversation = order.option or order.conversation
        client = (await _awake(order)).client
        try:
            found = await client.diff(conversation)
        except Refusal as refusal:
            if refusal.reason not in _GONE:
                raise
            return Piece("Nothing has been asked there yet, so nothing is changed.")
        whole = found.unified or await blob_text(client, found.blob_id)
        diff = Diff(
            unified=whole,
            files=found.files,
            insertions=found.insertions,
            deletions=found.deletions,
            branch=found.branch,
            is_cut=len(whole.encode()) >= LARGEST_BYTES,
        )
        return render_diff(diff)

    # ---------------------------------------------------------- what changes

    async def _cancel(self, order: Order) -> Piece:
        link = order.served.bridge.status.value.link
        is_stopped = False
        if link is not None:
            try:
                done = await link.client.interrupt(order.conversation, order.actor)
                is_stopped = done.changed
            except Refusal as refusal:
                if refusal.reason not in _GONE:
                    raise
        return Piece(f"{order.who} stopped the turn." if is_stopped else "Nothing is running.")

    async def _restart(self, order: Order) -> Piece:
        link = order.served.bridge.status.value.link
        if link is None:
            return Piece("The agent is asleep; it starts with the next message.")
        try:
            await link.client.restart(order.conversation, order.actor)
        except Refusal as refusal:
            if refusal.reason not in _GONE:
                raise
            return Piece("The agent is not running here; it starts with the next message.")
        return Piece(f"{order.who} restarted the session; it remembers the conversation.")

    async def _clear(self, order: Order) -> Piece:
        try:
            await (await _awake(order)).client.clear(order.conversation, order.actor)
        except Refusal as refusal:
            if refusal.reason not in _GONE:
                raise
            return Piece("There is nothing to forget here yet.")
        return Piece(f"{order.who} cleared the session; the next message begins an empty one.")

    async def _sleep(self, order: Order) -> Piece:
        if order.served.bridge.status.value.phase is BridgePhase.ASLEEP:
            return Piece("It is asleep already.")
        await self._operations.sleep(order.served, order.actor)
        return Piece(f"{order.who} lets the agent sleep; the next message wakes it.")

    async def _model(self, order: Order) -> Piece:
        client = (await _awake(order)).client
        done = await client.set_model(order.conversation, order.actor, order.option)
        return Piece(_changed(order, "model", is_changed=done.changed))

    async def _mode(self, order: Order) -> Piece:
        client = (await _awake(order)).client
        done = await client.set_mode(order.conversation, order.actor, order.option)
        return Piece(_changed(order, "mode", is_changed=done.changed))

    async def _new(self, order: Order) -> Piece:
        if not order.served.threads_are_sessions:
            return Piece("Threads here belong to the channel's session, so there are no others.")
        thread = await self._thread(order, "a new session")
        return Piece(f"Here it is: <#{thread}>")

    async def _fork(self, order: Order) -> Piece:
        if not order.served.threads_are_sessions:
            return Piece("Threads here belong to the channel's session, so there are no others.")
        client = (await _awake(order)).client
        if (await client.sessions()).of(order.conversation) is None:
            return Piece("Nothing has been asked here yet, so there is nothing to go on from.")
        where = place_of(order.conversation, order.served.channel_id)
        thread = await self._thread(order, f"goes on from {where}")
        try:
            await client.fork(order.conversation, order.actor, thread)
        except Refusal as refusal:
            if refusal.reason != "CONVERSATION_EXISTS":
                said = f"<#{thread}> is open, but its session begins empty: {refusal.message}"
                return Piece(said)
        return Piece(f"Here it is, with this session's memory: <#{thread}>")

    async def _thread(self, order: Order, what: str) -> str:
        """A thread of a message of ours, which tells everybody what it is; its id."""
        title = one_line(order.option or f"Session of {order.person.display_name}")[:TITLE_LENGTH]
        text = f"**{escaped(title)}** · {what} · {order.who}"
        sent = await self._threads.send(
            order.served.channel_id,
            Piece(text),
            nonce=nonce(f"thread {order.order_id}", 0, content=""),
            priority=Priority.NOTICE,
        )
        return (await self._threads.open_thread(order.served.channel_id, sent, title)).channel_id


async def _awake(order: Order) -> RunnerLink:
    """The bridge's runner, woken if need be."""
    async with asyncio.timeout(WAKE_SECONDS):
        return await order.served.bridge.awake()


def _changed(order: Order, what: str, *, is_changed: bool) -> str:
    value = escaped(order.option)
    if not is_changed:
        return f"The {what} is {value} already."
    return f"{order.who} changed the {what} to {value}, from the next turn on."
