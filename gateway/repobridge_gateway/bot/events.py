"""discord.py's objects as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import discord

from repobridge_gateway.chat import (
    Attachment,
    ChatMessage,
    Interaction,
    InteractionKind,
    MessageEdited,
    Person,
    Place,
    Reaction,
    time_of,
)

_KINDS = {
    discord.InteractionType.application_command: InteractionKind.COMMAND,
    discord.InteractionType.component: InteractionKind.COMPONENT,
    discord.InteractionType.autocomplete: InteractionKind.AUTOCOMPLETE,
    discord.InteractionType.modal_submit: InteractionKind.MODAL,
}


def place_of(channel: Any, *, guild_id: int, me: int = 0) -> Place:
    """Where a channel is; of a thread that the library has not seen yet the parent is unknown."""
    parent: str | None = None
    is_ours = False
    if isinstance(channel, discord.Thread):
        parent, is_ours = str(channel.parent_id), channel.owner_id == me
    elif isinstance(channel, discord.abc.GuildChannel):
        parent = ""
    return Place(
        guild_id=str(guild_id), channel_id=str(channel.id), parent_id=parent, is_ours=is_ours
    )


def person_of(user: discord.abc.User, *, now: float) -> Person:
    """Who somebody is; only members have roles, and nobody else is one."""
    roles: frozenset[str] | None = None
    if isinstance(user, discord.Member):
        # Of the one that everybody has, the id is the guild's.
        roles = frozenset(str(role.id) for role in user.roles if not role.is_default())
    return Person(user_id=str(user.id), display_name=user.display_name, role_ids=roles, as_of=now)


def message_of(message: discord.Message, *, me: int) -> ChatMessage | None:
    """What a person wrote in a guild; None for everybody and everything else."""
    author = message.author
    is_text = message.type in {discord.MessageType.default, discord.MessageType.reply}
    if author.bot or message.webhook_id or message.guild is None or not is_text:
        return None
    reference = message.reference
    return ChatMessage(
        message_id=str(message.id),
        place=place_of(message.channel, guild_id=message.guild.id, me=me),
        author=person_of(author, now=time_of(str(message.id))),
        content=message.content,
        attachments=attachments_of(message.attachments),
        reply_to=str(reference.message_id or "") if reference else "",
        mentions_us=any(user.id == me for user in message.mentions),
    )


def attachments_of(attachments: Iterable[discord.Attachment]) -> tuple[Attachment, ...]:
    """The files of a message."""
    return tuple(
        Attachment(
            attachment_id=str(each.id),
            name=each.filename,
            size=each.size,
            media_type=each.content_type or "",
            url=each.url,
        )
        for each in attachments
    )


def edit_of(event: discord.RawMessageUpdateEvent) -> MessageEdited | None:
    """What a message says now; None for what is no person's in a guild."""
    message = event.message
    if event.guild_id is None or message.author.bot or message.webhook_id:
        return None
    return MessageEdited(
        message_id=str(event.message_id),
        place=place_of(message.channel, guild_id=event.guild_id),
        content=message.content,
        attachments=attachments_of(message.attachments),
    )


def reaction_of(event: discord.RawReactionActionEvent, *, now: float) -> Reaction | None:
    """A person's reaction in a guild."""
    member = event.member
    if event.guild_id is None or member is None or member.bot:
        return None
    return Reaction(
        message_id=str(event.message_id),
        place=Place(guild_id=str(event.guild_id), channel_id=str(event.channel_id), parent_id=None),
        person=person_of(member, now=now),
        emoji=str(event.emoji),
    )


def interaction_of(found: discord.Interaction, *, now: float) -> Interaction | None:
    """What a person did; None outside of guilds and for kinds that we do not offer."""
    kind, data = _KINDS.get(found.type), found.data
    if kind is None or data is None or found.guild_id is None or found.channel is None:
        return None
    raw: Mapping[str, Any] = dict(data)
    fields, focused = _options(raw.get("options") or ())
    if kind is InteractionKind.MODAL:
        fields = dict(_answers(raw.get("components") or ()))
    return Interaction(
        interaction_id=str(found.id),
        token=found.token,
        kind=kind,
        place=place_of(found.channel, guild_id=found.guild_id),
        person=person_of(found.user, now=now),
        name=str(raw.get("custom_id") or raw.get("name") or ""),
        values=tuple(map(str, raw.get("values") or ())),
        fields=fields,
        focused=focused,
        message_id=str(found.message.id) if found.message else "",
    )


def _options(options: Iterable[Mapping[str, Any]]) -> tuple[dict[str, tuple[str, ...]], str]:
    fields: dict[str, tuple[str, ...]] = {
        str(each["name"]): (str(each.get("value", "")),) for each in options
    }
    focused = next((str(each["name"]) for each in options if each.get("focused")), "")
    return fields, focused


def _answers(components: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Every field of a form, in a row of its own or under a label."""
    for each in components:
        inner = [*(each.get("components") or ()), *filter(None, [each.get("component")])]
        yield from _answers(inner)
        if "custom_id" in each:
            value = each.get("value")
            chosen = each.get("values") or (() if value is None else (value,))
            yield str(each["custom_id"]), tuple(map(str, chosen))
