"""The things that Discord keeps: guilds, people, channels, threads, messages.

These are plain records; `world` changes them and `payloads` tells them as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


class ChannelType(IntEnum):
    """Kinds of channels."""

    TEXT = 0
    CATEGORY = 4
    PUBLIC_THREAD = 11
    PRIVATE_THREAD = 12


class MessageType(IntEnum):
    """Kinds of messages; those of Discord itself have no text."""

    DEFAULT = 0
    CHANNEL_PINNED_MESSAGE = 6
    USER_JOIN = 7
    THREAD_CREATED = 18
    REPLY = 19
    CHAT_INPUT_COMMAND = 20
    THREAD_STARTER_MESSAGE = 21


_SYSTEM = frozenset(
    {
        MessageType.CHANNEL_PINNED_MESSAGE,
        MessageType.USER_JOIN,
        MessageType.THREAD_CREATED,
        MessageType.THREAD_STARTER_MESSAGE,
    }
)


class MessageFlag(IntFlag):
    """Bits of a message's `flags`."""

    SUPPRESS_EMBEDS = 1 << 2
    HAS_THREAD = 1 << 5
    EPHEMERAL = 1 << 6
    LOADING = 1 << 7
    SUPPRESS_NOTIFICATIONS = 1 << 12
    IS_COMPONENTS_V2 = 1 << 15


@dataclass(eq=False)
class User:
    """An account; a webhook's messages have one that is nobody's member."""

    id: int
    name: str
    is_bot: bool = False


@dataclass(eq=False)
class Role:
    """A role of a guild; the one with the guild's id is @everyone."""

    id: int
    name: str
    permissions: int
    position: int
    is_mentionable: bool = False
    is_managed: bool = False


@dataclass(frozen=True)
class Overwrite:
    """What a channel changes for a role (type 0) or a member (type 1)."""

    id: int
    type: int
    allow: int
    deny: int


@dataclass(eq=False)
class Guild:
    """A server with its roles, members and channels (threads included)."""

    id: int
    name: str
    owner_id: int
    roles: dict[int, Role] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    blocked_words: set[str] = field(default_factory=set)
    """What its automatic moderation lets no bot say."""


@dataclass(eq=False)
class Member:
    """A user in a guild."""

    user: User
    guild: Guild
    joined_at: float
    role_ids: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Thread:
    """What only threads have; times in seconds since 1970."""

    owner_id: int
    created_at: float
    archived_at: float
    auto_archive_minutes: int = 1440
    is_archived: bool = False
    is_locked: bool = False
    members: dict[int, float] = field(default_factory=dict)
    messages_sent: int = 0


@dataclass(eq=False)
class Channel:
    """A channel, category or thread."""

    id: int
    guild: Guild
    type: ChannelType
    name: str
    position: int = 0
    parent: Channel | None = None
    topic: str | None = None
    overwrites: dict[int, Overwrite] = field(default_factory=dict)
    thread: Thread | None = None
    messages: dict[int, Message] = field(default_factory=dict)
    last_message_id: int | None = None
    slowmode_seconds: int = 0

    @property
    def is_private_thread(self) -> bool:
        """Whether only its members see it."""
        return self.type is ChannelType.PRIVATE_THREAD


@dataclass(frozen=True)
class Upload:
    """A file on its way in."""

    filename: str
    data: bytes = field(repr=False)
    description: str | None = None
    content_type: str | None = None


@dataclass(frozen=True)
class Attachment:
    """A file of a message."""

    id: int
    filename: str
    data: bytes = field(repr=False)
    content_type: str
    description: str | None = None
    is_ephemeral: bool = False


@dataclass(frozen=True)
class Reference:
    """What a message answers, or what a system message is about."""

    channel_id: int
    guild_id: int
    message_id: int | None = None


@dataclass(frozen=True)
class Origin:
    """The interaction that a message answers."""

    id: int
    type: int
    user: User
    command: str | None = None
    message_id: int | None = None


@dataclass(eq=False)
class Message:
    """A message as it is now; times in seconds since 1970."""

    id: int
    channel: Channel
    author: User
    content: str
    created_at: float
    type: MessageType = MessageType.DEFAULT
    edited_at: float | None = None
    flags: int = 0
    attachments: list[Attachment] = field(default_factory=list)
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    reactions: dict[str, list[int]] = field(default_factory=dict)
    reference: Reference | None = None
    mentions: list[User] = field(default_factory=list)
    mention_roles: list[int] = field(default_factory=list)
    mentions_everyone: bool = False
    nonce: str | int | None = None
    webhook_id: int | None = None
    application_id: int | None = None
    origin: Origin | None = None
    ephemeral_to: int | None = None
    more: Json = field(default_factory=dict)
    """What few messages have: a poll, stickers, what was forwarded."""

    @property
    def is_system(self) -> bool:
        """Whether Discord wrote it."""
        return self.type in _SYSTEM


@dataclass(frozen=True)
class Event:
    """Something to dispatch; a channel limits it to those who see that channel."""

    name: str
    data: Json
    guild_id: int
    channel: Channel | None = None


@dataclass(eq=False)
class Application:
    """The application of the bot, with its privileged intents as its owner switched them."""

    id: int
    user: User
    token: str
    has_members_intent: bool = True
    has_presence_intent: bool = False
    has_content_intent: bool = True

    @property
    def flags(self) -> int:
        """The flags of applications in fewer than 100 guilds."""
        return (
            self.has_presence_intent << 13
            | self.has_members_intent << 15
            | self.has_content_intent << 19
        )
