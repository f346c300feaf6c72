"""REST: messages, their history, reactions and typing."""

from __future__ import annotations

from tests.fakes.discord.call import Call, Result, Route
from tests.fakes.discord.drafts import apply_edit, check_body, draft_of
from tests.fakes.discord.model import (
    Channel,
    ChannelType,
    Message,
    MessageFlag,
    MessageType,
    Reference,
)
from tests.fakes.discord.payloads import user_json
from tests.fakes.discord.permissions import Permission
from tests.fakes.discord.refusal import FormErrors, Unimplemented, form_error, refusal
from tests.fakes.discord.sessions import without_content
from tests.fakes.discord.snowflakes import parse
from tests.fakes.discord.world import Draft

_REACTIONS_LIMIT = 20
_CHANNEL = "/channels/{channel_id}"
_MESSAGE = "/channels/{channel_id}/messages/{message_id}"
_REACTIONS = f"{_MESSAGE}/reactions/{{emoji}}"


def create_message(call: Call) -> Result:
    """Write a message; a repeated nonce gets the first one."""
    channel = call.channel()
    body = call.fields
    check_body(body, call.uploads)
    _demand_speech(call, channel)
    if call.uploads:
        call.demand(channel, Permission.ATTACH_FILES)
    if body.get("embeds"):
        call.demand(channel, Permission.EMBED_LINKS)
    nonce = body.get("nonce")
    if nonce is not None and body.get("enforce_nonce"):
        first = call.world.with_nonce(call.world.bot, nonce)
        if first is not None:
            return _told(call, first) | {"nonce": nonce}
    _demand_clean(channel, body.get("content"))
    answered = _answered(call, channel)
    draft = draft_of(call.world, channel, body, call.uploads, answered=answered)
    if int(draft.flags) & MessageFlag.EPHEMERAL:
        raise form_error("flags", "MESSAGE_FLAGS_INVALID", "Only interactions can be ephemeral.")
    reply = None if answered is None else _reference_to(answered)
    kind = MessageType.DEFAULT if answered is None else MessageType.REPLY
    message = call.world.post(channel, call.world.bot, _as_reply(draft, reply, kind))
    told = _told(call, message)
    return told if nonce is None else told | {"nonce": nonce}


def edit_message(call: Call) -> Result:
    """Change an own message."""
    channel = call.channel()
    message = call.message(channel)
    check_body(call.fields, call.uploads)
    if message.author is not call.world.bot:
        raise refusal(50005)
    if message.is_system:
        raise refusal(50021)
    _demand_open(channel)
    _demand_clean(channel, call.fields.get("content"))
    apply_edit(call.world, message, call.fields, call.uploads)
    return _told(call, message)


def delete_message(call: Call) -> Result:
    """Delete an own message, or anyone's with the permission."""
    channel = call.channel()
    message = call.message(channel)
    if message.type is MessageType.THREAD_STARTER_MESSAGE:
        raise refusal(50021)
    if message.author is not call.world.bot:
        call.demand(channel, Permission.MANAGE_MESSAGES)
    call.world.delete(message)
    return None


def bulk_delete(call: Call) -> Result:
    """Delete 2 to 100 messages at once."""
    channel = call.channel(Permission.MANAGE_MESSAGES)
    told = call.fields.get("messages") or []
    errors = FormErrors()
    errors.check_count("messages", len(told), least=2, most=100)
    errors.raise_if_any()
    found = [channel.messages.get(parse(item, field="messages")) for item in told]
    call.world.delete_many(channel, [message for message in found if message is not None])
    return None


def get_message(call: Call) -> Result:
    """One message."""
    channel = call.channel(Permission.READ_MESSAGE_HISTORY)
    return _told(call, call.message(channel))


def get_messages(call: Call) -> Result:
    """A part of the history, the newest first whatever was asked for."""
    channel = call.channel()
    _demand_text(channel)
    limit = call.number("limit", default=50, least=1, most=100)
    if not call.allowed(channel) & Permission.READ_MESSAGE_HISTORY:
        return []
    asked = {name: call.query[name] for name in ("before", "after", "around") if name in call.query}
    if len(asked) > 1:
        message = "Only one of before, after or around may be given."
        raise form_error("before", "BASE_TYPE_BAD_TYPE", message)
    messages = list(channel.messages.values())
    for name, text in asked.items():
        messages = _part(messages, name, parse(text, field=name), limit)
    return [_told(call, message) for message in reversed(messages[-limit:])]


def add_reaction(call: Call) -> Result:
    """React; the first with an emoji needs a permission."""
    channel = call.channel(Permission.READ_MESSAGE_HISTORY)
    message = call.message(channel)
    emoji = _emoji(call)
    _demand_open(channel)
    if emoji not in message.reactions:
        call.demand(channel, Permission.ADD_REACTIONS)
        if len(message.reactions) >= _REACTIONS_LIMIT:
            raise refusal(30010)
    call.world.react(message, call.world.bot, emoji)
    return None


def remove_own_reaction(call: Call) -> Result:
    """Take the own reaction away."""
    return _remove_reaction(call, call.world.bot.id)


def remove_reaction(call: Call) -> Result:
    """Take someone's reaction away."""
    user_id = call.id_of("user_id")
    if user_id != call.world.bot.id:
        call.channel(Permission.MANAGE_MESSAGES)
    return _remove_reaction(call, user_id)


def clear_reactions(call: Call) -> Result:
    """Take all reactions away, or all with one emoji."""
    channel = call.channel(Permission.MANAGE_MESSAGES)
    message = call.message(channel)
    call.world.clear_reactions(message, _emoji(call) if "emoji" in call.params else None)
    return None


def get_reactions(call: Call) -> Result:
    """Who reacted with an emoji, by id."""
    channel = call.channel()
    message = call.message(channel)
    limit = call.number("limit", default=25, least=1, most=100)
    after = parse(call.query.get("after", "0"), field="after")
    users = sorted(user for user in message.reactions.get(_emoji(call), []) if user > after)
    return [user_json(call.world.users[user]) for user in users[:limit]]


def type_in(call: Call) -> Result:
    """Show that the bot types."""
    channel = call.channel()
    _demand_speech(call, channel)
    call.world.type(channel, call.world.bot)
    return None


ROUTES = (
    Route("POST", f"{_CHANNEL}/messages", create_message),
    Route("GET", f"{_CHANNEL}/messages", get_messages),
    Route("POST", f"{_CHANNEL}/messages/bulk-delete", bulk_delete),
    Route("GET", _MESSAGE, get_message),
    Route("PATCH", _MESSAGE, edit_message),
    Route("DELETE", _MESSAGE, delete_message),
    Route("PUT", f"{_REACTIONS}/@me", add_reaction),
    Route("DELETE", f"{_REACTIONS}/@me", remove_own_reaction),
    Route("DELETE", f"{_REACTIONS}/{{user_id}}", remove_reaction),
    Route("GET", _REACTIONS, get_reactions),
    Route("DELETE", _REACTIONS, clear_reactions),
    Route("DELETE", f"{_MESSAGE}/reactions", clear_reactions),
    Route("POST", f"{_CHANNEL}/typing", type_in),
)


def _told(call: Call, message: Message) -> dict[str, object]:
    """A message as the application may read it: REST goes by the application's own switch."""
    told = call.world.json_of(message)
    if call.world.application.has_content_intent:
        return told
    return without_content(told, call.world.bot.id)


def _demand_text(channel: Channel) -> None:
    if channel.type is ChannelType.CATEGORY:
        raise refusal(50008)


def _demand_speech(call: Call, channel: Channel) -> None:
    _demand_text(channel)
    thread = channel.thread
    if thread is None:
        call.demand(channel, Permission.SEND_MESSAGES)
        return
    call.demand(channel, Permission.SEND_MESSAGES_IN_THREADS)
    if thread.is_locked and not call.allowed(channel) & Permission.MANAGE_THREADS:
        raise refusal(50083 if thread.is_archived else 160005)


def _demand_open(channel: Channel) -> None:
    if channel.thread is not None and channel.thread.is_archived:
        raise refusal(50083)


def _demand_clean(channel: Channel, content: str | None) -> None:
    if any(word in (content or "") for word in channel.guild.blocked_words):
        raise refusal(200000)


def _answered(call: Call, channel: Channel) -> Message | None:
    """The message that a reply is to; gone ones are refused unless the body says otherwise."""
    told = call.fields.get("message_reference")
    if not told:
        return None
    if told.get("type"):
        raise Unimplemented("forwarded messages")
    if not call.allowed(channel) & Permission.READ_MESSAGE_HISTORY:
        raise refusal(160002)
    message_id = parse(told.get("message_id"), field="message_reference.message_id")
    place = parse(told.get("channel_id", channel.id), field="message_reference.channel_id")
    message = channel.messages.get(message_id) if place == channel.id else None
    if message is None and told.get("fail_if_not_exists", True):
        raise form_error("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
    if message is not None and message.is_system:
        why = "Cannot reply to a system message"
        raise form_error("message_reference", "REPLIES_CANNOT_REPLY_TO_SYSTEM_MESSAGE", why)
    return message


def _reference_to(message: Message) -> Reference:
    return Reference(message.channel.id, message.channel.guild.id, message.id)


def _as_reply(draft: Draft, reference: Reference | None, kind: MessageType) -> Draft:
    return Draft(
        draft.content,
        draft.uploads,
        draft.embeds,
        draft.components,
        draft.pings,
        reference,
        kind,
        draft.flags,
        draft.nonce,
    )


def _part(messages: list[Message], name: str, place: int, limit: int) -> list[Message]:
    """Of messages in order, those of which the newest `limit` are the answer."""
    if name == "before":
        return [message for message in messages if message.id < place]
    if name == "after":
        return [message for message in messages if message.id > place][:limit]
    older = [message for message in messages if message.id < place]
    newer = [message for message in messages if message.id >= place]
    kept_newer = newer[: limit - limit // 2]
    return older[-(limit // 2) :] + kept_newer if limit > 1 else kept_newer


def _remove_reaction(call: Call, user_id: int) -> Result:
    channel = call.channel()
    message = call.message(channel)
    _demand_open(channel)
    call.world.unreact(message, user_id, _emoji(call))
    return None


def _emoji(call: Call) -> str:
    """A Unicode emoji, or name:id."""
    emoji = call.params["emoji"]
    name, colon, emoji_id = emoji.partition(":")
    is_custom = bool(colon) and name.isidentifier() and emoji_id.isdigit()
    if not is_custom and emoji.isascii():
        raise refusal(10014)
    return emoji
