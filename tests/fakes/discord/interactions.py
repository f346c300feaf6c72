"""Interactions: clicks, commands and modals on their way to the bot, and its answers.

An interaction has to be answered in 3 s; its token is good for 15 min.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import IntEnum

from tests.fakes.discord.components import check_modal, numbered
from tests.fakes.discord.model import (
    Channel,
    Json,
    Member,
    Message,
    MessageFlag,
    MessageType,
    Origin,
    Reference,
    User,
)
from tests.fakes.discord.payloads import channel_json, guild_json, member_json
from tests.fakes.discord.permissions import in_channel
from tests.fakes.discord.refusal import ApiRefusal, FormErrors, form_error, refusal
from tests.fakes.discord.world import Draft, World

ACKNOWLEDGE_SECONDS = 3.0
TOKEN_SECONDS = 15 * 60.0
_FILE_BYTES = 10 * 1024 * 1024


class Kind(IntEnum):
    """What a person did."""

    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL = 5


class Callback(IntEnum):
    """How the bot answered first."""

    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    CHOICES = 8
    MODAL = 9


_MESSAGES = {Callback.MESSAGE, Callback.DEFERRED_MESSAGE}
_UPDATES = {Callback.DEFERRED_UPDATE, Callback.UPDATE}


@dataclass(eq=False)
class Interaction:
    """One interaction and what became of it; times are the clock's monotonic seconds."""

    id: int
    kind: Kind
    token: str
    user: User
    channel: Channel
    opened_at: float
    source: Message | None = None
    command: str | None = None
    callback: Callback | None = None
    original: Message | None = None
    follow_ups: list[Message] = field(default_factory=list)
    modal: Json | None = None
    choices: list[Json] | None = None
    is_ephemeral: bool = False

    @property
    def allowed(self) -> set[Callback]:
        """The first answers that Discord takes."""
        if self.kind is Kind.AUTOCOMPLETE:
            return {Callback.CHOICES}
        updates = _UPDATES if self.source is not None else set()
        modal = set() if self.kind is Kind.MODAL else {Callback.MODAL}
        return _MESSAGES | updates | modal


class Interactions:
    """All interactions, the commands that start some of them, and messages for one person only."""

    def __init__(self, world: World) -> None:
        self.ephemeral: list[Message] = []
        self._world = world
        self._by_token: dict[str, Interaction] = {}
        self._commands: dict[int | None, list[Json]] = {}

    def commands_in(self, scope: int | None) -> list[Json]:
        """The commands of a guild, or the global ones."""
        return self._commands.get(scope, [])

    def register(self, scope: int | None, commands: list[Json]) -> None:
        """Replace the commands of a scope."""
        self._commands[scope] = commands

    def open(
        self,
        kind: Kind,
        member: Member,
        channel: Channel,
        data: Json,
        *,
        source: Message | None = None,
        command: str | None = None,
    ) -> Interaction:
        """Send an interaction to the bot."""
        world = self._world
        interaction = Interaction(
            id=world.snowflakes.make(),
            kind=kind,
            token=secrets.token_urlsafe(48),
            user=member.user,
            channel=channel,
            opened_at=world.clock.monotonic(),
            source=source,
            command=command,
        )
        self._by_token[interaction.token] = interaction
        told = self._payload(interaction, member, data)
        world.emit("INTERACTION_CREATE", told, channel.guild)
        return interaction

    def acknowledging(self, interaction_id: int, token: str) -> Interaction:
        """The interaction of a callback, which must be in time and the first."""
        interaction = self._by_token.get(token)
        if interaction is None or interaction.id != interaction_id:
            raise refusal(10062)
        if interaction.callback is not None:
            raise refusal(40060)
        if self._age(interaction) > ACKNOWLEDGE_SECONDS:
            raise refusal(10062)
        self._demand_place(interaction)
        return interaction

    def answered(self, token: str) -> Interaction:
        """The interaction of a follow-up: answered, and its token still good."""
        interaction = self._by_token.get(token)
        if interaction is None or interaction.callback is None:
            raise refusal(10015)
        if self._age(interaction) > TOKEN_SECONDS:
            raise refusal(50027)
        self._demand_place(interaction)
        return interaction

    def is_gone(self, message: Message) -> bool:
        """Whether someone deleted an answer."""
        if message.ephemeral_to is not None:
            return message not in self.ephemeral
        return message.id not in message.channel.messages

    def is_failed(self, interaction: Interaction) -> bool:
        """Whether nobody answered in time: the person reads that the interaction failed."""
        return interaction.callback is None and self._age(interaction) > ACKNOWLEDGE_SECONDS

    def choose(self, interaction: Interaction, data: Json) -> None:
        """Show choices for what is being typed."""
        choices = data.get("choices") or []
        errors = FormErrors("data.")
        errors.check_count("choices", len(choices), most=25)
        for i, choice in enumerate(choices):
            where = f"choices.{i}"
            errors.check_length(f"{where}.name", str(choice.get("name") or ""), least=1, most=100)
            errors.check_length(f"{where}.value", str(choice.get("value", "")), least=1, most=100)
        errors.raise_if_any()
        interaction.choices = choices

    def show_modal(self, interaction: Interaction, data: Json) -> None:
        """Show a form."""
        check_modal(data)
        interaction.modal = data | {"components": numbered(data["components"])}

    def defer(self, interaction: Interaction, *, is_ephemeral: bool) -> None:
        """Show that the bot thinks."""
        flags = int(MessageFlag.LOADING)
        interaction.original = self.post(interaction, Draft(flags=flags), is_ephemeral=is_ephemeral)

    def post(self, interaction: Interaction, draft: Draft, *, is_ephemeral: bool) -> Message:
        """Write a message that answers an interaction."""
        above = interaction.original or interaction.source
        is_command = interaction.kind is Kind.COMMAND and interaction.original is None
        reference = None
        if above is not None and not is_command:
            reference = Reference(above.channel.id, above.channel.guild.id, above.id)
        kind = MessageType.DEFAULT if reference is None else MessageType.REPLY
        draft = Draft(
            content=draft.content,
            uploads=draft.uploads,
            embeds=draft.embeds,
            components=draft.components,
            pings=draft.pings,
            flags=draft.flags | (MessageFlag.EPHEMERAL if is_ephemeral else 0),
            reference=reference,
            type=MessageType.CHAT_INPUT_COMMAND if is_command else kind,
            webhook_id=self._world.application.id,
            origin=self._origin(interaction),
            ephemeral_to=interaction.user.id if is_ephemeral else None,
        )
        message = self._world.post(interaction.channel, self._world.bot, draft)
        if is_ephemeral:
            self.ephemeral.append(message)
        return message

    def delete(self, message: Message) -> None:
        """Delete an answer."""
        if message in self.ephemeral:
            self.ephemeral.remove(message)
        self._world.delete(message)

    def _demand_place(self, interaction: Interaction) -> None:
        if interaction.channel.id not in self._world.channels:
            raise refusal(10003)

    def _age(self, interaction: Interaction) -> float:
        return self._world.clock.monotonic() - interaction.opened_at

    def _origin(self, interaction: Interaction) -> Origin:
        source = None if interaction.source is None else interaction.source.id
        kind = int(interaction.kind)
        return Origin(interaction.id, kind, interaction.user, interaction.command, source)

    def _payload(self, interaction: Interaction, member: Member, data: Json) -> Json:
        world, channel = self._world, interaction.channel
        guild = channel.guild
        bot = guild.members[world.bot.id]
        given = str(int(in_channel(member, channel)))
        told: Json = {
            "id": str(interaction.id),
            "application_id": str(world.application.id),
            "type": int(interaction.kind),
            "token": interaction.token,
            "version": 1,
            "guild_id": str(guild.id),
            "guild": {"id": str(guild.id), "locale": "en-US", "features": []},
            "channel_id": str(channel.id),
            "channel": channel_json(channel, for_user=member.user.id) | {"permissions": given},
            "member": member_json(member) | {"permissions": given},
            "app_permissions": str(int(in_channel(bot, channel))),
            "locale": "en-US",
            "guild_locale": guild_json(guild)["preferred_locale"],
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(guild.id)},
            "context": 0,
            "attachment_size_limit": _FILE_BYTES,
            "data": data,
        }
        if interaction.source is not None:
            told["message"] = world.json_of(interaction.source)
        return told


def wrong_type(interaction: Interaction, told: object) -> ApiRefusal:
    """The refusal of a first answer that does not fit."""
    allowed = tuple(sorted(int(item) for item in interaction.allowed))
    return form_error("type", "BASE_TYPE_CHOICES", f"Value {told} must be one of {allowed}.")
