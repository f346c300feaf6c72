"""The bodies of messages: refused as Discord refuses them, else turned into drafts."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.discord import permissions
from tests.fakes.discord.components import check_message_components, numbered
from tests.fakes.discord.embeds import check_embeds
from tests.fakes.discord.mentions import Pings, check_allowed, pings_of
from tests.fakes.discord.model import Channel, Json, Message, MessageFlag, Upload
from tests.fakes.discord.permissions import Permission
from tests.fakes.discord.refusal import FormErrors, Unimplemented, refusal
from tests.fakes.discord.world import Draft, World

MAX_CONTENT = 2000
MAX_FILES = 10
MAX_FILE_BYTES = 10 * 1024 * 1024
_UNKNOWN_HERE = ("sticker_ids", "poll", "applied_tags", "shared_client_theme")
_SETTABLE = MessageFlag.SUPPRESS_EMBEDS | MessageFlag.SUPPRESS_NOTIFICATIONS | MessageFlag.EPHEMERAL


def check_body(body: Json, uploads: Mapping[int, Upload], *, prefix: str = "") -> None:
    """Whatever can be wrong without knowing where the message goes."""
    for name in _UNKNOWN_HERE:
        if body.get(name):
            raise Unimplemented(f"messages with {name}")
    flags = int(body.get("flags") or 0)
    if flags & MessageFlag.IS_COMPONENTS_V2:
        raise Unimplemented("components of version 2")
    errors = FormErrors(prefix)
    content = body.get("content")
    if content is not None and not isinstance(content, str):
        errors.add("content", "BASE_TYPE_BAD_TYPE", "Only strings may be used in a StringType")
    errors.check_length("content", str(content or "").strip(), most=MAX_CONTENT)
    nonce = body.get("nonce")
    if nonce is not None and len(str(nonce)) > 25:
        errors.add("nonce", "NONCE_TYPE_TOO_LONG", "Must be 25 or fewer in length.")
    if body.get("embeds") is not None:
        check_embeds(errors, body["embeds"])
    if body.get("components") is not None:
        check_message_components(errors, body["components"])
    check_allowed(errors, body.get("allowed_mentions") or {})
    _check_files(errors, body, uploads)
    errors.raise_if_any()
    if any(len(upload.data) > MAX_FILE_BYTES for upload in uploads.values()):
        raise refusal(40005)


def uploads_of(body: Json, uploads: Mapping[int, Upload]) -> list[Upload]:
    """The files in order, with what the body tells of them."""
    told = {
        int(item["id"]): item for item in body.get("attachments") or () if int(item["id"]) < 1000
    }
    return [
        Upload(
            told.get(number, {}).get("filename") or upload.filename,
            upload.data,
            told.get(number, {}).get("description"),
        )
        for number, upload in sorted(uploads.items())
    ]


def draft_of(
    world: World,
    channel: Channel,
    body: Json,
    uploads: Mapping[int, Upload],
    *,
    answered: Message | None = None,
) -> Draft:
    """The bot's message; refused when there is nothing in it."""
    content = str(body.get("content") or "").strip()
    files = uploads_of(body, uploads)
    embeds, components = body.get("embeds") or [], body.get("components") or []
    if not (content or files or embeds or components):
        raise refusal(50006)
    return Draft(
        content=content,
        uploads=files,
        embeds=[dict(embed) | {"type": "rich"} for embed in embeds],
        components=numbered(components),
        pings=pings_in(world, channel, content, body, answered=answered),
        flags=int(body.get("flags") or 0) & _SETTABLE,
        nonce=body.get("nonce"),
    )


def pings_in(
    world: World, channel: Channel, content: str, body: Json, *, answered: Message | None = None
) -> Pings:
    """Whom the bot's text pings."""
    bot = channel.guild.members.get(world.bot.id)
    given = Permission(0) if bot is None else permissions.in_channel(bot, channel)
    return pings_of(
        channel,
        content,
        may_ping_all=bool(given & Permission.MENTION_EVERYONE),
        allowed=body.get("allowed_mentions"),
        answered=answered,
    )


def apply_edit(world: World, message: Message, body: Json, uploads: Mapping[int, Upload]) -> None:
    """Change what the body names, keep the rest, and tell of it."""
    content = message.content
    if "content" in body:
        content = str(body["content"] or "").strip()
    embeds = message.embeds if body.get("embeds") is None else body["embeds"]
    components = message.components if body.get("components") is None else body["components"]
    kept = message.attachments
    if body.get("attachments") is not None:
        told = {int(item["id"]) for item in body["attachments"]}
        kept = [item for item in kept if item.id in told]
    if not (content or embeds or components or kept or uploads):
        raise refusal(50006)
    is_ephemeral = message.ephemeral_to is not None
    message.attachments = kept + world.files.keep(
        uploads_of(body, uploads), is_ephemeral=is_ephemeral
    )
    message.content = content
    message.embeds = [dict(embed) | {"type": "rich"} for embed in embeds]
    message.components = numbered(components)
    if "flags" in body:
        suppressed = int(body["flags"] or 0) & MessageFlag.SUPPRESS_EMBEDS
        message.flags = message.flags & ~MessageFlag.SUPPRESS_EMBEDS | suppressed
    pings = pings_in(world, message.channel, content, body)
    message.mentions, message.mention_roles = pings.users, pings.roles
    message.mentions_everyone = pings.everyone
    world.changed(message)


def _check_files(errors: FormErrors, body: Json, uploads: Mapping[int, Upload]) -> None:
    errors.check_count("attachments", len(body.get("attachments") or uploads), most=MAX_FILES)
    for i, item in enumerate(body.get("attachments") or ()):
        where = f"attachments.{i}"
        errors.check_length(f"{where}.description", str(item.get("description") or ""), most=1024)
        errors.check_length(f"{where}.filename", str(item.get("filename") or ""), most=1024)
