"""People (and other bots, and webhooks) that write, click and run commands, as their client lets.

What the real client would not let a person do raises `Forbidden`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tests.fakes.discord import permissions
from tests.fakes.discord.changes import Changes
from tests.fakes.discord.components import BUTTON, find
from tests.fakes.discord.forms import Forbidden, Value, filled
from tests.fakes.discord.interactions import ACKNOWLEDGE_SECONDS, Interaction, Interactions, Kind
from tests.fakes.discord.mentions import pings_of
from tests.fakes.discord.model import (
    Channel,
    ChannelType,
    Json,
    Member,
    Message,
    MessageType,
    Reference,
    Upload,
    User,
)
from tests.fakes.discord.payloads import stamp
from tests.fakes.discord.permissions import Permission
from tests.fakes.discord.resolving import resolved
from tests.fakes.discord.seen import Answer, SeenMessage
from tests.fakes.discord.slash import Commands
from tests.fakes.discord.world import Draft, World

_LONGEST_TEXT = 4000
AnyMessage: TypeAlias = Message | SeenMessage | int
Files: TypeAlias = Mapping[str, bytes]


class Person:
    """Someone in one guild."""

    def __init__(
        self, member: Member, *, world: World, interactions: Interactions, changes: Changes
    ) -> None:
        self.member = member
        self._world = world
        self._interactions = interactions
        self._changes = changes
        self._commands = Commands(world, interactions)

    @property
    def id(self) -> int:
        """The id of the account."""
        return self.member.user.id

    @property
    def name(self) -> str:
        """The name of the account."""
        return self.member.user.name

    @property
    def mention(self) -> str:
        """What one writes to ping this person."""
        return f"<@{self.id}>"

    def say(
        self,
        channel: Channel,
        text: str = "",
        *,
        files: Files | None = None,
        reply_to: AnyMessage | None = None,
        pings_answered: bool = True,
    ) -> Message:
        """Write a message."""
        self._demand(channel, _speech(channel))
        if len(text) > _LONGEST_TEXT or not (text.strip() or files):
            raise Forbidden("a message has 1 to 4,000 characters, or files")
        given = permissions.in_channel(self.member, channel)
        if files and not given & Permission.ATTACH_FILES:
            raise Forbidden(f"{self.name} can't attach files there")
        if channel.thread is not None and channel.thread.is_locked:
            self._demand(channel, Permission.MANAGE_THREADS)
        answered = None if reply_to is None else self._message(reply_to)
        pings = pings_of(
            channel,
            text,
            may_ping_all=bool(given & Permission.MENTION_EVERYONE),
            answered=answered,
            pings_answered=pings_answered,
        )
        draft = Draft(
            content=text.strip(),
            uploads=[Upload(name, data) for name, data in (files or {}).items()],
            pings=pings,
            reference=None if answered is None else _reference(answered),
            type=MessageType.DEFAULT if answered is None else MessageType.REPLY,
        )
        return self._world.post(channel, self.member.user, draft)

    def forward(self, channel: Channel, message: AnyMessage) -> Message:
        """Show a message in another place: the new one has no text of its own."""
        found = self._message(message)
        told = {"type": 0, "content": found.content, "embeds": [], "attachments": []}
        told |= {"timestamp": stamp(found.created_at), "edited_timestamp": None, "flags": 0}
        told |= {"mentions": [], "mention_roles": []}
        source = {"type": 1, "channel_id": str(found.channel.id), "message_id": str(found.id)}
        more: Json = {"message_reference": source, "message_snapshots": [{"message": told}]}
        return self._show(channel, more | {"flags": 1 << 14})

    def stick(self, channel: Channel, name: str) -> Message:
        """Send a sticker."""
        sticker = {"id": str(self._world.snowflakes.make()), "name": name, "format_type": 1}
        return self._show(channel, {"sticker_items": [sticker]})

    def poll(self, channel: Channel, question: str, *answers: str) -> Message:
        """Let people vote."""
        told = [{"answer_id": n, "poll_media": {"text": a}} for n, a in enumerate(answers, start=1)]
        ends = stamp(self._world.clock.wall() + 3600)
        poll: Json = {"question": {"text": question}, "answers": told, "expiry": ends}
        poll |= {"allow_multiselect": False, "layout_type": 1}
        return self._show(channel, {"poll": poll})

    def _show(self, channel: Channel, more: Json) -> Message:
        self._demand(channel, _speech(channel))
        return self._world.post(channel, self.member.user, Draft(more=more))

    def edit(self, message: AnyMessage, text: str) -> None:
        """Change an own message."""
        own = self._own(message)
        own.content = text.strip()
        pings = pings_of(own.channel, text, may_ping_all=False)
        own.mentions, own.mention_roles = pings.users, pings.roles
        self._world.changed(own)

    def delete(self, message: AnyMessage) -> None:
        """Delete a message: an own one, or any with the permission."""
        found = self._message(message)
        if found.author is not self.member.user:
            self._demand(found.channel, Permission.MANAGE_MESSAGES)
        self._world.delete(found)

    def purge(self, channel: Channel, messages: Sequence[AnyMessage]) -> None:
        """Delete many messages at once, as moderators' tools do."""
        self._demand(channel, Permission.MANAGE_MESSAGES)
        self._world.delete_many(channel, [self._message(message) for message in messages])

    def react(self, message: AnyMessage, emoji: str) -> None:
        """Add a reaction."""
        found = self._message(message)
        if emoji not in found.reactions:
            self._demand(found.channel, Permission.ADD_REACTIONS)
        self._world.react(found, self.member.user, emoji)

    def unreact(self, message: AnyMessage, emoji: str) -> None:
        """Take the own reaction away."""
        if not self._world.unreact(self._message(message), self.id, emoji):
            raise Forbidden("there is no such reaction")

    def type(self, channel: Channel) -> None:
        """Be seen typing."""
        self._world.type(channel, self.member.user)

    def open_thread(self, place: Channel | AnyMessage, name: str) -> Channel:
        """Open a thread of a message, or in a channel."""
        message = None if isinstance(place, Channel) else self._message(place)
        channel = place if isinstance(place, Channel) else self._message(place).channel
        self._demand(channel, Permission.CREATE_PUBLIC_THREADS)
        if message is not None and message.id in self._world.channels:
            raise Forbidden("that message has a thread")
        return self._world.start_thread(channel, self.member.user, name=name, message=message)

    def archive(self, thread: Channel) -> None:
        """Archive a thread: an own one, or any with the permission."""
        self._demand_thread(thread)
        self._world.update_thread(thread, is_archived=True)

    def unarchive(self, thread: Channel) -> None:
        """Open an archived thread again."""
        if thread.thread is not None and thread.thread.is_locked:
            self._demand(thread, Permission.MANAGE_THREADS)
        self._world.update_thread(thread, is_archived=False)

    def lock(self, thread: Channel) -> None:
        """Lock a thread and archive it."""
        self._demand(thread, Permission.MANAGE_THREADS)
        self._world.update_thread(thread, is_archived=True, is_locked=True)

    def leave_thread(self, thread: Channel) -> None:
        """Leave a thread."""
        self._world.leave_thread(thread, self.id)

    async def click(self, message: AnyMessage, button: str) -> Answer:
        """Press a button, by its label or its custom_id, and wait for the first answer."""
        found = self._visible(message)
        for item in _components(found):
            names = (item.get("custom_id"), item.get("label"), _emoji_of(item))
            if item["type"] == BUTTON and button in names:
                return await self._use(found, item, {"component_type": BUTTON})
        raise Forbidden(f"there is no button {button!r}")

    async def select(self, message: AnyMessage, custom_id: str, values: Sequence[str]) -> Answer:
        """Choose in a menu, by values (ids, where it offers users, roles or channels)."""
        found = self._visible(message)
        item = find(found.components, custom_id)
        if item is None or item["type"] == BUTTON:
            raise Forbidden(f"there is no menu {custom_id!r}")
        least = 1 if item.get("min_values") is None else item["min_values"]
        most = item.get("max_values") or 1
        if not least <= len(values) <= most:
            raise Forbidden(f"{least} to {most} have to be chosen")
        options = {option["value"] for option in item.get("options") or ()}
        if options and not set(values) <= options:
            raise Forbidden(f"there are only {sorted(options)}")
        data: Json = {"component_type": item["type"], "values": list(values)}
        meant = resolved(self.member, values) if not options else {}
        return await self._use(found, item, data | ({"resolved": meant} if meant else {}))

    async def submit(self, answer: Answer, values: Mapping[str, Value]) -> Answer:
        """Send a form that an answer opened, with values by custom_id."""
        data, modal = answer.interaction.modal, answer.modal
        if data is None or modal is None:
            raise Forbidden("no form is open")
        unknown = set(values) - {item.custom_id for item in modal.inputs}
        if unknown:
            raise Forbidden(f"the form has no {sorted(unknown)}")
        by_id = {item.custom_id: item for item in modal.inputs}
        told = {
            "custom_id": modal.custom_id,
            "components": [filled(row, by_id, values) for row in data["components"]],
        }
        opened = answer.interaction
        return await self._send(Kind.MODAL, opened.channel, told, source=opened.source)

    async def command(self, channel: Channel, name: str, /, **options: object) -> Answer:
        """Run a slash command; parts of its name are separated by spaces."""
        self._demand(channel, Permission.USE_APPLICATION_COMMANDS)
        if channel.thread is not None and channel.thread.is_archived:
            raise Forbidden("the thread is archived")
        try:
            data = self._commands.data_of(self.member, name, options)
        except LookupError as error:
            raise Forbidden(str(error)) from error
        return await self._send(Kind.COMMAND, channel, data, command=name)

    async def use(self, message: AnyMessage, name: str) -> Answer:
        """Use a command of a message's menu."""
        found = self._visible(message)
        self._demand(found.channel, Permission.USE_APPLICATION_COMMANDS)
        try:
            data = self._commands.on_message(self.member, name, found)
        except LookupError as error:
            raise Forbidden(str(error)) from error
        return await self._send(Kind.COMMAND, found.channel, data, command=name)

    async def autocomplete(
        self, channel: Channel, name: str, option: str, typed: str, **options: object
    ) -> Answer:
        """See what is offered for a text typed into an option."""
        self._demand(channel, Permission.USE_APPLICATION_COMMANDS)
        try:
            data = self._commands.data_of(
                self.member, name, {**options, option: typed}, focused=option
            )
        except LookupError as error:
            raise Forbidden(str(error)) from error
        return await self._send(Kind.AUTOCOMPLETE, channel, data, command=name)

    async def _use(self, message: Message, item: Json, data: Json) -> Answer:
        if item.get("disabled") or item.get("custom_id") is None:
            raise Forbidden("that is not enabled")
        told = {"custom_id": item["custom_id"], "id": item["id"]} | data
        return await self._send(Kind.COMPONENT, message.channel, told, source=message)

    async def _send(
        self,
        kind: Kind,
        channel: Channel,
        data: Json,
        *,
        source: Message | None = None,
        command: str | None = None,
    ) -> Answer:
        interaction = self._interactions.open(
            kind, self.member, channel, data, source=source, command=command
        )
        answer = Answer(interaction, self._interactions)
        alarm = asyncio.create_task(self._wake_when_failed(interaction))
        try:
            await self._changes.until(lambda: answer.is_over)
        finally:
            alarm.cancel()
        return answer

    async def _wake_when_failed(self, interaction: Interaction) -> None:
        await self._world.clock.until(interaction.opened_at + ACKNOWLEDGE_SECONDS + 0.001)
        self._changes.note()

    def _demand(self, channel: Channel, needed: Permission) -> None:
        if not permissions.can_see(self.member, channel):
            raise Forbidden(f"{self.name} can't see {channel.name}")
        if not permissions.in_channel(self.member, channel) & needed:
            raise Forbidden(f"{self.name} has no {needed!r} in {channel.name}")

    def _demand_thread(self, channel: Channel) -> None:
        if channel.thread is None:
            raise Forbidden(f"{channel.name} is no thread")
        if channel.thread.owner_id != self.id:
            self._demand(channel, Permission.MANAGE_THREADS)

    def _message(self, message: AnyMessage) -> Message:
        if isinstance(message, Message):
            return message
        message_id = message if isinstance(message, int) else message.id
        for channel in self._world.channels.values():
            if message_id in channel.messages:
                return channel.messages[message_id]
        for hidden in self._interactions.ephemeral:
            if hidden.id == message_id:
                return hidden
        raise Forbidden("the message is gone")

    def _visible(self, message: AnyMessage) -> Message:
        found = self._message(message)
        if found.ephemeral_to not in (None, self.id):
            raise Forbidden("someone else sees that message")
        if not permissions.can_see(self.member, found.channel):
            raise Forbidden(f"{self.name} can't see {found.channel.name}")
        return found

    def _own(self, message: AnyMessage) -> Message:
        found = self._message(message)
        if found.author is not self.member.user:
            raise Forbidden("the message is someone else's")
        return found


class Webhook:
    """Writes into one channel under any name; nobody's member."""

    def __init__(self, channel: Channel, name: str, *, world: World) -> None:
        self.user = User(world.snowflakes.make(), name, is_bot=True)
        self.channel = channel
        self._world = world

    def say(self, text: str) -> Message:
        """Write a message."""
        return self._world.post(
            self.channel, self.user, Draft(content=text, webhook_id=self.user.id)
        )


def _speech(channel: Channel) -> Permission:
    if channel.type is ChannelType.CATEGORY:
        raise Forbidden("nobody writes into a category")
    in_thread = channel.thread is not None
    return Permission.SEND_MESSAGES_IN_THREADS if in_thread else Permission.SEND_MESSAGES


def _reference(message: Message) -> Reference:
    return Reference(message.channel.id, message.channel.guild.id, message.id)


def _components(message: Message) -> list[Json]:
    return [item for row in message.components for item in row.get("components", [])]


def _emoji_of(item: Json) -> str | None:
    return (item.get("emoji") or {}).get("name")
