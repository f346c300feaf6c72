"""What a person sees: messages in a channel, forms, and how the bot answered a click."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fakes.discord.components import LABEL, SELECT, walk
from tests.fakes.discord.interactions import Callback, Interaction, Interactions
from tests.fakes.discord.model import Guild, Json, Message, MessageFlag, MessageType


@dataclass(frozen=True)
class SeenFile:
    """A file of a message."""

    name: str
    data: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(frozen=True)
class SeenButton:
    """A button; one that opens a link has no custom_id."""

    label: str
    custom_id: str | None
    style: int
    is_disabled: bool = False
    url: str | None = None


@dataclass(frozen=True)
class SeenSelect:
    """A menu, with its options as value → label."""

    custom_id: str
    options: Mapping[str, str]
    placeholder: str | None = None
    is_disabled: bool = False


@dataclass(frozen=True)
class SeenMessage:
    """A message as it looks now; `pings` are the names of those whom it tells."""

    id: int
    author: str
    content: str
    type: MessageType = MessageType.DEFAULT
    files: tuple[SeenFile, ...] = ()
    embeds: tuple[Json, ...] = ()
    buttons: tuple[SeenButton, ...] = ()
    selects: tuple[SeenSelect, ...] = ()
    reactions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reply_to: int | None = None
    pings: tuple[str, ...] = ()
    is_edited: bool = False
    is_ephemeral: bool = False
    is_loading: bool = False
    has_thread: bool = False

    @property
    def labels(self) -> list[str]:
        """What is written on the buttons."""
        return [button.label for button in self.buttons]


@dataclass(frozen=True)
class SeenInput:
    """A field of a form; `kind` is the type of the component."""

    custom_id: str
    label: str
    kind: int
    is_required: bool
    value: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    min_length: int = 0
    max_length: int = 4000
    min_values: int = 1
    max_values: int = 1


@dataclass(frozen=True)
class SeenModal:
    """A form."""

    title: str
    custom_id: str
    inputs: tuple[SeenInput, ...]


class Answer:
    """What a person sees of the bot's answer to what they did, always as it is now."""

    def __init__(self, interaction: Interaction, interactions: Interactions) -> None:
        self.interaction = interaction
        self._interactions = interactions

    @property
    def kind(self) -> Callback | None:
        """How the bot answered first."""
        return self.interaction.callback

    @property
    def is_failed(self) -> bool:
        """Whether the person reads "This interaction failed"."""
        return self._interactions.is_failed(self.interaction)

    @property
    def is_over(self) -> bool:
        """Whether the bot answered, or the time for it has passed."""
        return self.kind is not None or self.is_failed

    @property
    def is_ephemeral(self) -> bool:
        """Whether only this person sees the answer."""
        return self.interaction.is_ephemeral

    @property
    def message(self) -> SeenMessage | None:
        """The message that answers, or that was updated."""
        original = self.interaction.original
        return None if original is None else seen(original)

    @property
    def follow_ups(self) -> tuple[SeenMessage, ...]:
        """What came after."""
        return tuple(seen(message) for message in self.interaction.follow_ups)

    @property
    def text(self) -> str:
        """What the answer says."""
        message = self.message
        return "" if message is None else message.content

    @property
    def modal(self) -> SeenModal | None:
        """The form that opened."""
        data = self.interaction.modal
        return None if data is None else seen_modal(data)

    @property
    def choices(self) -> dict[str, object]:
        """What is offered for the text that is being typed: name → value."""
        return {item["name"]: item["value"] for item in self.interaction.choices or ()}


def seen(message: Message) -> SeenMessage:
    """A message as people see it."""
    guild = message.channel.guild
    parts = list(walk(message.components))
    return SeenMessage(
        id=message.id,
        author=message.author.name,
        content=message.content,
        type=message.type,
        files=tuple(
            SeenFile(item.filename, item.data, item.content_type) for item in message.attachments
        ),
        embeds=tuple(message.embeds),
        buttons=tuple(_button(item) for item in parts if item["type"] == 2),
        selects=tuple(_select(item) for item in parts if item["type"] in (3, 5, 6, 7, 8)),
        reactions={
            emoji: tuple(_name(guild, user_id) for user_id in users)
            for emoji, users in message.reactions.items()
        },
        reply_to=None if message.reference is None else message.reference.message_id,
        pings=_pings(message, guild),
        is_edited=message.edited_at is not None,
        is_ephemeral=message.ephemeral_to is not None,
        is_loading=bool(message.flags & MessageFlag.LOADING),
        has_thread=bool(message.flags & MessageFlag.HAS_THREAD),
    )


def seen_modal(data: Json) -> SeenModal:
    """A form as people see it."""
    inputs = []
    for row in data["components"]:
        if row["type"] == LABEL:
            inputs.append(_input(row["component"], row["label"]))
        else:
            inputs += [_input(item, item.get("label") or "") for item in row.get("components", ())]
    return SeenModal(data["title"], data["custom_id"], tuple(inputs))


def _input(item: Json, label: str) -> SeenInput:
    return SeenInput(
        custom_id=item["custom_id"],
        label=label,
        kind=item["type"],
        is_required=bool(item.get("required", True)),
        value=item.get("value"),
        options=_options(item),
        min_length=item.get("min_length") or 0,
        max_length=item.get("max_length") or 4000,
        min_values=1 if item.get("min_values") is None else item["min_values"],
        max_values=item.get("max_values") or 1,
    )


def _options(item: Json) -> dict[str, str]:
    return {option["value"]: option["label"] for option in item.get("options") or ()}


def _button(item: Json) -> SeenButton:
    emoji = (item.get("emoji") or {}).get("name") or ""
    return SeenButton(
        label=item.get("label") or emoji,
        custom_id=item.get("custom_id"),
        style=item["style"],
        is_disabled=bool(item.get("disabled")),
        url=item.get("url"),
    )


def _select(item: Json) -> SeenSelect:
    return SeenSelect(
        custom_id=item["custom_id"],
        options=_options(item) if item["type"] == SELECT else {},
        placeholder=item.get("placeholder"),
        is_disabled=bool(item.get("disabled")),
    )


def _pings(message: Message, guild: Guild) -> tuple[str, ...]:
    roles = [f"@{guild.roles[role_id].name}" for role_id in message.mention_roles]
    everyone = ["@everyone"] if message.mentions_everyone else []
    return (*(user.name for user in message.mentions), *roles, *everyone)


def _name(guild: Guild, user_id: int) -> str:
    member = guild.members.get(user_id)
    return str(user_id) if member is None else member.user.name
