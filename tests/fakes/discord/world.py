"""Everything that happens in the imitation: each change is made here, and dispatched from here.

Neither permissions nor limits are looked at: the REST API and people ask for them before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.discord.changes import Changes
from tests.fakes.discord.clock import Clock
from tests.fakes.discord.files import Files
from tests.fakes.discord.mentions import Pings
from tests.fakes.discord.model import (
    Application,
    Channel,
    ChannelType,
    Event,
    Guild,
    Json,
    Message,
    MessageFlag,
    MessageType,
    Origin,
    Reference,
    Thread,
    Upload,
    User,
)
from tests.fakes.discord.payloads import (
    channel_json,
    emoji_json,
    member_json,
    message_json,
    thread_json,
    thread_member_json,
    user_json,
)
from tests.fakes.discord.snowflakes import Snowflakes

NONCE_SECONDS = 300.0
_NO_PINGS = Pings([], [], everyone=False)


@dataclass(frozen=True)
class Draft:
    """A message before it is one."""

    content: str = ""
    uploads: list[Upload] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    pings: Pings = _NO_PINGS
    reference: Reference | None = None
    type: MessageType = MessageType.DEFAULT
    flags: int = 0
    nonce: str | int | None = None
    webhook_id: int | None = None
    origin: Origin | None = None
    ephemeral_to: int | None = None
    more: Json = field(default_factory=dict)


class World:
    """Guilds, users, messages and files of one Discord."""

    def __init__(
        self,
        *,
        application: Application,
        clock: Clock,
        snowflakes: Snowflakes,
        changes: Changes,
        publish: Callable[[Event], None],
        base_url: Callable[[], str],
    ) -> None:
        self.application = application
        self.clock = clock
        self.snowflakes = snowflakes
        self.guilds: dict[int, Guild] = {}
        self.users: dict[int, User] = {application.user.id: application.user}
        self.channels: dict[int, Channel] = {}
        self.files = Files(clock, snowflakes, base_url=base_url)
        self._nonces: dict[tuple[int, str], Message] = {}
        self._changes = changes
        self._publish = publish

    def emit(self, name: str, data: Json, guild: Guild, channel: Channel | None = None) -> None:
        """Dispatch an event, and wake those who wait for changes."""
        self._publish(Event(name, data, guild.id, channel))
        self._changes.note()

    def note(self) -> None:
        """Wake those who wait for changes."""
        self._changes.note()

    @property
    def bot(self) -> User:
        """The account of the application."""
        return self.application.user

    def json_of(self, message: Message) -> Json:
        """A message for the bot, over REST; the nonce is told at its creation only."""
        return message_json(message, self.files.link, me=self.bot.id)

    def post(self, channel: Channel, author: User, draft: Draft) -> Message:
        """Write a message; into an archived thread it opens the thread again."""
        thread = channel.thread
        if thread is not None and thread.is_archived:
            self.update_thread(channel, is_archived=False)
        message = Message(
            id=self.snowflakes.make(),
            channel=channel,
            author=author,
            content=draft.content,
            created_at=self.clock.wall(),
            type=draft.type,
            flags=draft.flags,
            embeds=draft.embeds,
            components=draft.components,
            reference=draft.reference,
            mentions=draft.pings.users,
            mention_roles=draft.pings.roles,
            mentions_everyone=draft.pings.everyone,
            nonce=draft.nonce,
            webhook_id=draft.webhook_id,
            application_id=self.application.id if draft.origin else None,
            origin=draft.origin,
            ephemeral_to=draft.ephemeral_to,
            more=draft.more,
        )
        is_ephemeral = message.ephemeral_to is not None
        message.attachments = self.files.keep(draft.uploads, is_ephemeral=is_ephemeral)
        if message.ephemeral_to is not None:
            self._changes.note()
            return message
        channel.messages[message.id] = message
        if message.nonce is not None:
            self._nonces[author.id, str(message.nonce)] = message
        channel.last_message_id = message.id
        if thread is not None:
            thread.messages_sent += 1
            thread.archived_at = message.created_at
            for user in [author, *message.mentions]:
                if user.id in channel.guild.members:
                    self.join_thread(channel, user.id)
        self._message_event("MESSAGE_CREATE", message)
        return message

    def with_nonce(self, author: User, nonce: object) -> Message | None:
        """The author's newest message with that nonce, as long as the nonce is remembered."""
        message = self._nonces.get((author.id, str(nonce)))
        if message is None or self.clock.wall() - message.created_at > NONCE_SECONDS:
            return None
        return message

    def changed(self, message: Message, *, is_edit: bool = True) -> None:
        """Tell of a changed message; without `is_edit` the change is not the author's."""
        if is_edit:
            message.edited_at = self.clock.wall()
        if message.ephemeral_to is not None:
            self._changes.note()
            return
        self._message_event("MESSAGE_UPDATE", message)

    def delete(self, message: Message) -> None:
        """Delete a message."""
        channel = message.channel
        channel.messages.pop(message.id, None)
        if message.ephemeral_to is not None:
            self._changes.note()
            return
        data = {
            "id": str(message.id),
            "channel_id": str(channel.id),
            "guild_id": str(channel.guild.id),
        }
        self.emit("MESSAGE_DELETE", data, channel.guild, channel)

    def delete_many(self, channel: Channel, messages: list[Message]) -> None:
        """Delete messages of one channel at once, with one event."""
        for message in messages:
            channel.messages.pop(message.id, None)
        data = {
            "ids": [str(message.id) for message in messages],
            "channel_id": str(channel.id),
            "guild_id": str(channel.guild.id),
        }
        self.emit("MESSAGE_DELETE_BULK", data, channel.guild, channel)

    def react(self, message: Message, user: User, emoji: str) -> None:
        """Add a reaction, once."""
        users = message.reactions.setdefault(emoji, [])
        if user.id in users:
            return
        users.append(user.id)
        member = message.channel.guild.members.get(user.id)
        data = self._reaction(message, user.id, emoji) | {"burst": False, "type": 0}
        data["message_author_id"] = str(message.author.id)
        if member is not None:
            data["member"] = member_json(member)
        self.emit("MESSAGE_REACTION_ADD", data, message.channel.guild, message.channel)

    def unreact(self, message: Message, user_id: int, emoji: str) -> bool:
        """Take a reaction away; False when it was not there."""
        users = message.reactions.get(emoji, [])
        if user_id not in users:
            return False
        users.remove(user_id)
        if not users:
            del message.reactions[emoji]
        data = self._reaction(message, user_id, emoji) | {"burst": False, "type": 0}
        self.emit("MESSAGE_REACTION_REMOVE", data, message.channel.guild, message.channel)
        return True

    def clear_reactions(self, message: Message, emoji: str | None = None) -> None:
        """Take away all reactions, or all with one emoji."""
        data = self._reaction(message, None, emoji)
        if emoji is None:
            message.reactions.clear()
            self.emit("MESSAGE_REACTION_REMOVE_ALL", data, message.channel.guild, message.channel)
        elif message.reactions.pop(emoji, None) is not None:
            self.emit("MESSAGE_REACTION_REMOVE_EMOJI", data, message.channel.guild, message.channel)

    def start_thread(
        self,
        parent: Channel,
        owner: User,
        *,
        name: str,
        message: Message | None = None,
        is_private: bool = False,
        auto_archive_minutes: int = 1440,
    ) -> Channel:
        """Open a thread, from a message (whose id it takes) or by itself."""
        now = self.clock.wall()
        channel = Channel(
            id=self.snowflakes.make() if message is None else message.id,
            guild=parent.guild,
            type=ChannelType.PRIVATE_THREAD if is_private else ChannelType.PUBLIC_THREAD,
            name=name,
            parent=parent,
            thread=Thread(owner.id, now, now, auto_archive_minutes, members={owner.id: now}),
        )
        self.channels[channel.id] = parent.guild.channels[channel.id] = channel
        told = thread_json(channel, for_user=self.bot.id) | {"newly_created": True}
        self.emit("THREAD_CREATE", told, parent.guild, channel)
        if message is not None:
            self._mark_start(message, channel, owner)
        elif not is_private:
            about = Reference(channel.id, parent.guild.id)
            draft = Draft(name, type=MessageType.THREAD_CREATED, reference=about)
            self.post(parent, owner, draft)
        return channel

    def update_thread(
        self,
        channel: Channel,
        *,
        name: str | None = None,
        is_archived: bool | None = None,
        is_locked: bool | None = None,
        auto_archive_minutes: int | None = None,
    ) -> None:
        """Rename, archive, open again, lock."""
        thread = channel.thread
        if thread is None:
            raise AssertionError(f"{channel.name} is no thread")
        if name is not None:
            channel.name = name
        if is_locked is not None:
            thread.is_locked = is_locked
        if auto_archive_minutes is not None:
            thread.auto_archive_minutes = auto_archive_minutes
        if is_archived is not None and is_archived != thread.is_archived:
            thread.is_archived = is_archived
            thread.archived_at = self.clock.wall()
        told = thread_json(channel, for_user=self.bot.id)
        self.emit("THREAD_UPDATE", told, channel.guild, channel)

    def join_thread(self, channel: Channel, user_id: int) -> None:
        """Make someone a member of a thread."""
        thread = channel.thread
        if thread is None or user_id in thread.members:
            return
        thread.members[user_id] = self.clock.wall()
        if channel.is_private_thread and user_id == self.bot.id:
            told = thread_json(channel, for_user=user_id)
            self.emit("THREAD_CREATE", told, channel.guild, channel)
        added = [thread_member_json(channel, user_id)]
        self._thread_members(channel, added=added, removed=[])

    def leave_thread(self, channel: Channel, user_id: int) -> None:
        """End someone's membership of a thread."""
        if channel.thread is not None and user_id in channel.thread.members:
            # Told while the member still sees the thread.
            self._thread_members(channel, added=[], removed=[str(user_id)])
            del channel.thread.members[user_id]

    def delete_channel(self, channel: Channel) -> None:
        """Delete a channel and its threads."""
        for thread in [item for item in channel.guild.channels.values() if item.parent is channel]:
            if thread.thread is not None:
                self._forget(thread)
            else:
                thread.parent = None
        if channel.thread is None:
            self._forget(channel)
            self.emit("CHANNEL_DELETE", channel_json(channel), channel.guild)
            return
        data = {
            "id": str(channel.id),
            "guild_id": str(channel.guild.id),
            "parent_id": None if channel.parent is None else str(channel.parent.id),
            "type": int(channel.type),
        }
        self.emit("THREAD_DELETE", data, channel.guild, channel)
        self._forget(channel)

    def type(self, channel: Channel, user: User) -> None:
        """Show that someone types, for ten seconds."""
        data: Json = {
            "channel_id": str(channel.id),
            "guild_id": str(channel.guild.id),
            "user_id": str(user.id),
            "timestamp": int(self.clock.wall()),
        }
        member = channel.guild.members.get(user.id)
        if member is not None:
            data["member"] = member_json(member)
        self.emit("TYPING_START", data, channel.guild, channel)

    def _forget(self, channel: Channel) -> None:
        del self.channels[channel.id]
        del channel.guild.channels[channel.id]

    def _mark_start(self, message: Message, channel: Channel, owner: User) -> None:
        message.flags |= MessageFlag.HAS_THREAD
        self.changed(message, is_edit=False)
        about = Reference(message.channel.id, message.channel.guild.id, message.id)
        self.post(channel, owner, Draft(type=MessageType.THREAD_STARTER_MESSAGE, reference=about))

    def _message_event(self, name: str, message: Message) -> None:
        channel = message.channel
        data = self.json_of(message) | {"guild_id": str(channel.guild.id)}
        member = channel.guild.members.get(message.author.id)
        if member is not None and message.webhook_id is None:
            data["member"] = member_json(member, with_user=False)
        data["mentions"] = [
            user_json(user) | _membership(channel.guild, user) for user in message.mentions
        ]
        data["channel_type"] = int(channel.type)
        if name == "MESSAGE_CREATE" and message.nonce is not None:
            data["nonce"] = message.nonce
        self.emit(name, data, channel.guild, channel)

    def _reaction(self, message: Message, user_id: int | None, emoji: str | None) -> Json:
        data: Json = {
            "channel_id": str(message.channel.id),
            "guild_id": str(message.channel.guild.id),
            "message_id": str(message.id),
        }
        if user_id is not None:
            data["user_id"] = str(user_id)
        return data if emoji is None else data | {"emoji": emoji_json(emoji)}

    def _thread_members(self, channel: Channel, *, added: list[Json], removed: list[str]) -> None:
        members = 0 if channel.thread is None else len(channel.thread.members)
        data: Json = {
            "id": str(channel.id),
            "guild_id": str(channel.guild.id),
            "member_count": members - len(removed),
        }
        if added:
            known = channel.guild.members
            data["added_members"] = [
                item | {"member": member_json(known[int(item["user_id"])]), "presence": None}
                for item in added
            ]
        if removed:
            data["removed_member_ids"] = removed
        self.emit("THREAD_MEMBERS_UPDATE", data, channel.guild, channel)


def _membership(guild: Guild, user: User) -> Json:
    member = guild.members.get(user.id)
    return {} if member is None else {"member": member_json(member, with_user=False)}
