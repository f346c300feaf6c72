"""What a chat tells the gateway, as plain values: ids are Discord's snowflakes, as strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from repobridge.errors import RepoBridgeError

_EPOCH_MILLISECONDS = 1_420_070_400_000


class Fault(Enum):
    """What became of a call to the chat that failed."""

    GONE = "gone"
    """What it was about is not there any more."""
    FORBIDDEN = "forbidden"
    """We may not do that there."""
    REJECTED = "rejected"
    """It will never be taken as it is."""
    LIMITED = "limited"
    """Not now: it was not done."""
    UNKNOWN = "unknown"
    """Nobody knows whether it was done."""


class ChatError(RepoBridgeError):
    """A call to the chat failed; `code` is Discord's own, 0 where it said none."""

    def __init__(self, fault: Fault, sentence: str, *, code: int = 0) -> None:
        super().__init__(sentence)
        self.fault = fault
        self.code = code


def time_of(snowflake: str) -> float:
    """When an id was made, in seconds since the epoch."""
    return ((int(snowflake) >> 22) + _EPOCH_MILLISECONDS) / 1000


def snowflake_at(seconds: float) -> str:
    """The lowest id that can be made at a time: what is later is larger."""
    return str(max(0, int(seconds * 1000) - _EPOCH_MILLISECONDS) << 22)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody in a guild, as they were at a moment."""

    user_id: str
    display_name: str
    role_ids: frozenset[str] | None = None
    """None: nobody has said yet; history's authors carry no roles."""
    as_of: float = 0.0
    """When the roles were so, in seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that came with a message; its URL expires."""

    attachment_id: str
    name: str
    size: int
    media_type: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something was written."""

    guild_id: str
    channel_id: str
    """The channel itself, or the thread."""
    parent_id: str | None = ""
    """The channel of a thread; empty for a channel; None: the library does not know."""
    is_ours: bool = False
    """A thread that we opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """What a person wrote."""

    message_id: str
    place: Place
    author: Person
    content: str
    attachments: tuple[Attachment, ...] = ()
    reply_to: str = ""
    mentions_us: bool = False
    sponsor: Person | None = None
    """Who has it run, where that is somebody else than who wrote it."""

    @property
    def asker(self) -> Person:
        """In whose name it is run."""
        return self.sponsor or self.author


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited:
    """A message may have another text now; also told when a link in it was unfurled."""

    message_id: str
    place: Place
    content: str
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesDeleted:
    """Messages are gone."""

    channel_id: str
    message_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMessage:
    """A message of ours stands in a channel."""

    message_id: str
    channel_id: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """Somebody reacted to a message."""

    message_id: str
    place: Place
    person: Person
    emoji: str


class InteractionKind(Enum):
    """What somebody did."""

    COMMAND = "command"
    COMPONENT = "component"
    AUTOCOMPLETE = "autocomplete"
    MODAL = "modal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A click, a choice, a form or a slash command; due to be acknowledged within 3 seconds."""

    interaction_id: str
    token: str = field(repr=False)
    kind: InteractionKind
    place: Place
    person: Person
    name: str
    """The custom id, or the name of the command."""
    values: tuple[str, ...] = ()
    """What was chosen in a select."""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A form's answers or a command's options, by custom id or name."""
    focused: str = ""
    """The option that wants to be completed."""
    message_id: str = ""
    """The message with the button."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Discord's gateway speaks to us; unless resumed, events since the last one are gone."""

    shard_id: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class Disconnected:
    """Discord's gateway does not speak to us."""

    shard_id: int


@dataclass(frozen=True, slots=True)
class GuildSeen:
    """A guild is there, and its roles are known."""

    guild_id: str


@dataclass(frozen=True, slots=True)
class ChannelGone:
    """A channel or thread was deleted."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class ThreadSeen:
    """A thread is there: made, told of, or taken out of the archive."""

    place: Place
    name: str
    is_archived: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedThread:
    """A thread in the archive."""

    place: Place
    archived_at: str
    """As Discord tells the time."""
    last_message_id: str


@dataclass(frozen=True, slots=True)
class ArchivePage:
    """Some threads of an archive, in its order, and whether there are more behind them."""

    threads: tuple[ArchivedThread, ...]
    has_more: bool


ChatEvent = (
    ChatMessage
    | MessageEdited
    | MessagesDeleted
    | OwnMessage
    | Reaction
    | Interaction
    | Connected
    | Disconnected
    | GuildSeen
    | ChannelGone
    | ThreadSeen
)
