"""Commands that people give in Discord: from its menu, completed as they type, or as text.

Who gave a command reads the answer alone, except where it changes something for all. Whether they
may is found out from what is known here, before anything is begun; then Discord is told that the
answer will come, as it waits three seconds for that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from repobridge.errors import Refusal
from repobridge.session.events import MAIN_CONVERSATION
from repobridge.telemetry import Logger
from repobridge_gateway import commands
from repobridge_gateway.access import EVERY_MODEL, Members, Permission, named
from repobridge_gateway.channels import Channels, Served, conversation_of, served_at
from repobridge_gateway.chat import (
    ChatError,
    ChatMessage,
    Fault,
    Interaction,
    InteractionKind,
    Place,
)
from repobridge_gateway.commands import Command, Reply, ToGateway
from repobridge_gateway.controls import Controls, Operations, Order, Threads
from repobridge_gateway.pacer import Overloaded
from repobridge_gateway.render.inline import escaped, inert
from repobridge_gateway.render.measure import shortened
from repobridge_gateway.render.pieces import Piece
from repobridge_gateway.slashspec import MODELS, SPECS, Slash, command_of
from repobridge_gateway.speech import outgoing
from repobridge_gateway.store.port import Store

CHECK_SECONDS = 1.5
"""What can't be checked in so long is not begun: Discord waits three seconds."""
MOST_AT_ONCE = 1_000
_ANSWER_UNITS = 1_900
_CHOICE_LENGTH = 100
_NOT_DONE = "Discord did not answer in time, so that was not done; please try again."
_NO_BRIDGE = "This channel belongs to no repository."
_TEXTS = {
    Command.HELP: Slash.HELP,
    Command.STATUS: Slash.STATUS,
    Command.CANCEL: Slash.CANCEL,
    Command.RESTART: Slash.RESTART,
    Command.CLEAR: Slash.CLEAR,
}
_log = Logger(__name__)


class Answering(Threads, Protocol):
    """How commands are answered; each call raises ChatError."""

    async def say_privately(self, interaction: Interaction, text: str) -> None:
        """Answers with a sentence to who asked."""

    async def defer(self, interaction: Interaction, *, is_private: bool = True) -> None:
        """Says that the answer comes."""

    async def follow(self, interaction: Interaction, piece: Piece) -> None:
        """Fills the answer in."""

    async def complete(self, interaction: Interaction, choices: Mapping[str, str]) -> None:
        """Offers what an option may be completed to: each as it is shown, and its value."""

    def name_of(self, channel_id: str) -> str:
        """What a channel or thread is called; empty where nobody has told."""

    async def place(self, channel_id: str) -> Place:
        """Where a channel is."""


class SlashCommands:
    """The commands of every bridge."""

    def __init__(
        self,
        *,
        store: Store,
        rest: Answering,
        channels: Channels,
        members: Members,
        operations: Operations,
        guild_of: Callable[[str], str],
        told: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`guild_of` knows the guild of a channel, empty where nobody has told; `told` hears of
        pieces to send.
        """
        self._guild_of = guild_of
        self._store = store
        self._rest = rest
        self._channels = channels
        self._members = members
        self._told = told
        self._controls = Controls(store=store, threads=rest, operations=operations, clock=clock)
        self._tasks: set[asyncio.Task[None]] = set()

    def interaction(self, interaction: Interaction) -> None:
        """Takes a command, or the wish to have an option completed; returns at once."""
        if interaction.kind is InteractionKind.AUTOCOMPLETE:
            self._begin(self._complete(interaction))
        else:
            self._begin(self._command(interaction))

    def text_command(self, message: ChatMessage, served: Served) -> None:
        """Takes a command that was written as text; returns at once."""
        self._begin(self._text(message, served))

    async def close(self) -> None:
        """Ends what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= MOST_AT_ONCE:
            work.close()
            _log.error("command not taken")
            return
        task = asyncio.create_task(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ------------------------------------------------------- from the menu

    async def _command(self, interaction: Interaction) -> None:
        command = command_of(interaction.name)
        if command is None:
            await self._rest.say_privately(interaction, "That is no command of mine any more.")
            return
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                order = await self._order(interaction, command)
                why = _NO_BRIDGE if order is None else await self._controls.not_allowed(order)
        except (TimeoutError, Refusal, ChatError, Overloaded) as error:
            _log.warning("command not checked", error=str(error))
            order, why = None, "That could not be looked up just now; please try again."
        if order is None or why:
            await self._rest.say_privately(interaction, why)
            return
        try:
            await self._rest.defer(interaction, is_private=not SPECS[command].is_public)
        except ChatError as error:
            if error.fault is Fault.UNKNOWN:  # where it arrived, somebody waits now
                await self._rest.follow(interaction, Piece(_NOT_DONE))
            raise
        await self._rest.follow(interaction, await self._answer(order))

    async def _order(self, interaction: Interaction, command: Slash) -> Order | None:
        served, place = await self._served(interaction.place)
        if served is None:
            return None
        option = SPECS[command].option
        given = interaction.fields.get(option.name, ()) if option is not None else ()
        return Order(
            command=command,
            order_id=interaction.interaction_id,
            served=served,
            guild_id=interaction.place.guild_id,
            conversation=conversation_of(served, place),
            person=interaction.person,
            option="".join(given).strip(),
        )

    async def _served(self, place: Place) -> tuple[Served | None, Place]:
        if place.parent_id is None and place.channel_id not in self._channels.served.value:
            place = await self._rest.place(place.channel_id)
        return served_at(self._channels, place), place

    async def _answer(self, order: Order) -> Piece:
        try:
            return await self._controls.carry_out(order)
        except TimeoutError:
            return Piece("It did not wake in time, so that was not done; please try again.")
        except Refusal as refusal:
            _log.warning("command not done", command=order.command.value, error=str(refusal))
            return Piece(inert(shortened(refusal.message, _ANSWER_UNITS)))
        except (ChatError, Overloaded) as error:
            _log.warning("command not done", command=order.command.value, error=str(error))
            return Piece("Discord did not let me do that; look at my permissions in this channel.")

    async def _complete(self, interaction: Interaction) -> None:
        typed = "".join(interaction.fields.get(interaction.focused, ())).strip().casefold()
        offered: Mapping[str, str] = {}
        if interaction.focused == "model":
            offered = {each: each for each in await self._models(interaction)}
        elif interaction.focused == "session":
            offered = self._titled(await self._sessions(interaction), interaction.place)
        fit = {
            shown: value
            for shown, value in offered.items()
            if typed in shown.casefold() or typed in value
        }
        await self._rest.complete(interaction, fit)

    def _titled(self, conversations: Iterable[str], place: Place) -> dict[str, str]:
        """Conversations by what people call them: the channel's own, and threads."""
        served = served_at(self._channels, place)
        titled: dict[str, str] = {}
        for each in conversations:
            title = self._rest.name_of(each) if each.isdecimal() else ""
            if each == MAIN_CONVERSATION and served is not None:
                name = self._rest.name_of(served.channel_id)
                title = f"#{name}" if name else ""
            shown = title[:_CHOICE_LENGTH] or each
            titled[shown if shown not in titled else f"{shown[:70]} ({each})"] = each
        return titled

    async def _models(self, interaction: Interaction) -> list[str]:
        """The models that somebody may choose."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                served, _ = await self._served(interaction.place)
        except (TimeoutError, ChatError, Overloaded) as error:
            _log.debug("models not offered", error=str(error))
            return []
        if served is None:
            return []
        access = served.access.at(interaction.place.guild_id)
        if not access.may(interaction.person, SPECS[Slash.MODEL].permission):
            return []
        models = named(access.models(interaction.person), own=served.model)
        return list(MODELS) if EVERY_MODEL in models else list(models)

    async def _sessions(self, interaction: Interaction) -> list[str]:
        """The conversations of a bridge, as far as that is known without waking it."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                served, _ = await self._served(interaction.place)
                if served is None:
                    return []
                access = served.access.at(interaction.place.guild_id)
                if not access.may(interaction.person, Permission.PROMPT):
                    return []
                link = served.bridge.status.value.link
                if link is None:
                    return [MAIN_CONVERSATION]
                found = (await link.client.sessions()).sessions
                return [each.conversation_id for each in found]
        except (TimeoutError, Refusal, ChatError, Overloaded) as error:
            _log.debug("sessions not offered", error=str(error))
            return [MAIN_CONVERSATION]

    # ---------------------------------------------------------------- as text

    async def _text(self, message: ChatMessage, served: Served) -> None:
        person = message.author
        if served.access.at(message.place.guild_id).asks_for_roles:
            person = await self._members.fresh(message.place.guild_id, person)
        parsed = commands.parse(message.content)
        if isinstance(parsed, Reply):
            await self._reply(message, served, Piece(parsed.text))
            return
        if not isinstance(parsed, ToGateway):
            return
        order = Order(
            command=_TEXTS.get(parsed.command, Slash.HELP),
            order_id=message.message_id,
            served=served,
            guild_id=message.place.guild_id,
            conversation=conversation_of(served, message.place),
            person=person,
        )
        piece = Piece(await self._controls.not_allowed(order))
        if not piece.content and parsed.command is Command.LIST_REPOS:
            piece = Piece(self._repos(order))
        elif not piece.content:
            piece = await self._answer(order)
        await self._reply(message, served, piece)

    async def _reply(self, message: ChatMessage, served: Served, piece: Piece) -> None:
        replying = replace(piece, reply_to=message.message_id)
        name, channel_id = f"command {message.message_id}", message.place.channel_id
        await self._store.outbox.say(served.uid, outgoing(name, channel_id, [replying]))
        self._told()

    def _repos(self, order: Order) -> str:
        """The repositories of the guild in whose channels somebody may ask."""
        lines = [
            f"- {escaped(each.bridge.name)} · <#{each.channel_id}>"
            f" · {each.bridge.status.value.phase.name.lower()}"
            for each in self._channels.served.value.values()
            if self._guild_of(each.channel_id) == order.guild_id
            and each.access.at(order.guild_id).may(order.person, Permission.PROMPT)
        ]
        return "\n".join(["Repositories:", *lines])[:_ANSWER_UNITS]


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except ChatError as error:
        _log.warning("command not answered", error=str(error))
    except Refusal as refusal:
        _log.warning("command's answer not kept", error=str(refusal))
    except Exception as error:  # one command must not end the others
        _log.error("command broke", cause=error)
