"""REST: channels and threads."""

from __future__ import annotations

import datetime

from tests.fakes.discord.call import Call, Result, Route
from tests.fakes.discord.model import Channel, ChannelType, Json, MessageType
from tests.fakes.discord.payloads import channel_json, stamp, thread_json, thread_member_json
from tests.fakes.discord.permissions import Permission, can_see
from tests.fakes.discord.refusal import ApiRefusal, FormErrors, form_error, refusal

_DURATIONS = (60, 1440, 4320, 10080)
_CHANNEL = "/channels/{channel_id}"


def get_channel(call: Call) -> Result:
    """A channel or thread."""
    return channel_json(call.channel(), for_user=call.world.bot.id)


def edit_channel(call: Call) -> Result:
    """Rename and describe a channel; archive, open, lock a thread."""
    channel = call.channel()
    if channel.thread is not None:
        return _edit_thread(call, channel)
    call.demand(channel, Permission.MANAGE_CHANNELS)
    errors = FormErrors()
    body = call.fields
    if "name" in body:
        errors.check_length("name", str(body["name"] or ""), least=1, most=100)
    errors.check_length("topic", str(body.get("topic") or ""), most=1024)
    errors.raise_if_any()
    channel.name = body.get("name", channel.name)
    channel.topic = body.get("topic", channel.topic)
    call.world.emit("CHANNEL_UPDATE", channel_json(channel), channel.guild)
    return channel_json(channel)


def delete_channel(call: Call) -> Result:
    """Delete a channel or thread."""
    channel = call.channel()
    is_thread = channel.thread is not None
    call.demand(channel, Permission.MANAGE_THREADS if is_thread else Permission.MANAGE_CHANNELS)
    told = channel_json(channel)
    call.world.delete_channel(channel)
    return told


def start_from_message(call: Call) -> Result:
    """Open the thread of a message: there is one at most."""
    channel = call.channel(Permission.CREATE_PUBLIC_THREADS, Permission.READ_MESSAGE_HISTORY)
    _demand_text(channel)
    message = call.message(channel)
    body = _checked(call)
    if message.id in call.world.channels:
        raise refusal(160004)
    if message.type is MessageType.THREAD_CREATED:
        raise refusal(50021)
    thread = call.world.start_thread(
        channel,
        call.world.bot,
        name=body["name"],
        message=message,
        auto_archive_minutes=body.get("auto_archive_duration") or 1440,
    )
    return thread_json(thread, for_user=call.world.bot.id)


def start_in_channel(call: Call) -> Result:
    """Open a thread of no message: private, unless told otherwise."""
    channel = call.channel()
    _demand_text(channel)
    body = _checked(call)
    kind = body.get("type", ChannelType.PRIVATE_THREAD)
    if kind not in (ChannelType.PUBLIC_THREAD, ChannelType.PRIVATE_THREAD):
        raise form_error("type", "BASE_TYPE_CHOICES", "Value must be one of (11, 12).")
    is_private = kind == ChannelType.PRIVATE_THREAD
    needed = Permission.CREATE_PRIVATE_THREADS if is_private else Permission.CREATE_PUBLIC_THREADS
    call.demand(channel, needed)
    thread = call.world.start_thread(
        channel,
        call.world.bot,
        name=body["name"],
        is_private=is_private,
        auto_archive_minutes=body.get("auto_archive_duration") or 1440,
    )
    return thread_json(thread, for_user=call.world.bot.id)


def active_threads(call: Call) -> Result:
    """All threads of the guild that are open and that the bot may see, the newest first."""
    guild, bot = call.guild()
    threads = [
        channel
        for channel in guild.channels.values()
        if channel.thread is not None and not channel.thread.is_archived and can_see(bot, channel)
    ]
    return _page(call, sorted(threads, key=lambda channel: -channel.id), has_more=None)


def archived_threads(call: Call) -> Result:
    """The public archived threads of a channel, those archived last first."""
    channel = call.channel(Permission.READ_MESSAGE_HISTORY)
    limit = call.number("limit", default=50, least=2, most=100)
    before = call.query.get("before")
    threads = [
        item
        for item in channel.guild.channels.values()
        if item.parent is channel
        and item.type is ChannelType.PUBLIC_THREAD
        and item.thread is not None
        and item.thread.is_archived
        and (before is None or stamp(item.thread.archived_at) < _moment(before))
    ]
    threads.sort(key=_archived_at, reverse=True)
    return _page(call, threads[:limit], has_more=len(threads) > limit)


def archived_with_bot(call: Call) -> Result:
    """The private archived threads of a channel that the bot is in, those made last first."""
    channel = call.channel(Permission.READ_MESSAGE_HISTORY)
    limit = call.number("limit", default=50, least=2, most=100)
    before = call.query.get("before")
    if before is not None and not before.isdigit():
        raise form_error("before", "NUMBER_TYPE_COERCE", f'Value "{before}" is not snowflake.')
    threads = [
        item
        for item in channel.guild.channels.values()
        if item.parent is channel
        and item.is_private_thread
        and item.thread is not None
        and item.thread.is_archived
        and call.world.bot.id in item.thread.members
        and (before is None or item.id < int(before))
    ]
    threads.sort(key=lambda item: -item.id)
    return _page(call, threads[:limit], has_more=len(threads) > limit)


def join(call: Call) -> Result:
    """Join a thread oneself."""
    return _join(call, call.world.bot.id)


def add_member(call: Call) -> Result:
    """Bring someone into a thread; who can't write there can bring nobody."""
    call.demand(call.channel(), Permission.SEND_MESSAGES_IN_THREADS)
    return _join(call, call.id_of("user_id"))


def leave(call: Call) -> Result:
    """Leave a thread."""
    call.world.leave_thread(_open_thread(call), call.world.bot.id)
    return None


def remove_member(call: Call) -> Result:
    """Send someone out of a thread."""
    channel = _open_thread(call)
    call.demand(channel, Permission.MANAGE_THREADS)
    call.world.leave_thread(channel, call.id_of("user_id"))
    return None


def get_member(call: Call) -> Result:
    """Someone's membership of a thread."""
    channel = _thread(call)
    user_id = call.id_of("user_id")
    if channel.thread is None or user_id not in channel.thread.members:
        raise refusal(10007)
    return thread_member_json(channel, user_id)


def get_members(call: Call) -> Result:
    """All members of a thread."""
    channel = _thread(call)
    members = [] if channel.thread is None else channel.thread.members
    return [thread_member_json(channel, user_id) for user_id in members]


ROUTES = (
    Route("GET", _CHANNEL, get_channel),
    Route("PATCH", _CHANNEL, edit_channel),
    Route("DELETE", _CHANNEL, delete_channel),
    Route("POST", f"{_CHANNEL}/messages/{{message_id}}/threads", start_from_message, status=201),
    Route("POST", f"{_CHANNEL}/threads", start_in_channel, status=201),
    Route("GET", "/guilds/{guild_id}/threads/active", active_threads),
    Route("GET", f"{_CHANNEL}/threads/archived/public", archived_threads),
    Route("GET", f"{_CHANNEL}/users/@me/threads/archived/private", archived_with_bot),
    Route("PUT", f"{_CHANNEL}/thread-members/@me", join),
    Route("DELETE", f"{_CHANNEL}/thread-members/@me", leave),
    Route("GET", f"{_CHANNEL}/thread-members", get_members),
    Route("GET", f"{_CHANNEL}/thread-members/{{user_id}}", get_member),
    Route("PUT", f"{_CHANNEL}/thread-members/{{user_id}}", add_member),
    Route("DELETE", f"{_CHANNEL}/thread-members/{{user_id}}", remove_member),
)


def _edit_thread(call: Call, channel: Channel) -> Json:
    thread = channel.thread
    if thread is None:
        raise refusal(50024)
    body = call.fields
    is_owner = thread.owner_id == call.world.bot.id
    may_manage = bool(call.allowed(channel) & Permission.MANAGE_THREADS)
    only_opens = set(body) <= {"archived", "auto_archive_duration"} and not body.get("archived")
    if thread.is_archived and body.get("archived", True):
        raise refusal(50083)
    if thread.is_locked and not may_manage:
        raise refusal(50013)
    if not (may_manage or (is_owner and "locked" not in body) or only_opens):
        raise refusal(50013)
    _check_fields(body)
    call.world.update_thread(
        channel,
        name=body.get("name"),
        is_archived=body.get("archived"),
        is_locked=body.get("locked"),
        auto_archive_minutes=body.get("auto_archive_duration"),
    )
    return thread_json(channel, for_user=call.world.bot.id)


def _checked(call: Call) -> Json:
    body = call.fields
    _check_fields({"name": ""} | body)
    return body


def _check_fields(body: Json) -> None:
    errors = FormErrors()
    if "name" in body:
        errors.check_length("name", str(body["name"] or "").strip(), least=1, most=100)
    if body.get("auto_archive_duration") not in (None, *_DURATIONS):
        message = f"Value must be one of {set(_DURATIONS)}."
        errors.add("auto_archive_duration", "BASE_TYPE_CHOICES", message)
    errors.raise_if_any()


def _demand_text(channel: Channel) -> None:
    if channel.type is not ChannelType.TEXT:
        raise refusal(50024)


def _thread(call: Call) -> Channel:
    channel = call.channel()
    if channel.thread is None:
        raise refusal(50024)
    return channel


def _open_thread(call: Call) -> Channel:
    channel = _thread(call)
    if channel.thread is not None and channel.thread.is_archived:
        raise refusal(50083)
    return channel


def _join(call: Call, user_id: int) -> Result:
    channel = _open_thread(call)
    if user_id not in channel.guild.members:
        raise refusal(10013)
    call.world.join_thread(channel, user_id)
    return None


def _page(call: Call, threads: list[Channel], *, has_more: bool | None) -> Json:
    bot = call.world.bot.id
    page: Json = {
        "threads": [thread_json(thread, for_user=bot) for thread in threads],
        "members": [
            thread_member_json(item, bot)
            for item in threads
            if item.thread is not None and bot in item.thread.members
        ],
    }
    return page if has_more is None else page | {"has_more": has_more}


def _archived_at(channel: Channel) -> float:
    return 0.0 if channel.thread is None else channel.thread.archived_at


def _moment(text: str) -> str:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        message = f'Value "{text}" is not a valid ISO8601 timestamp.'
        refused: ApiRefusal = form_error("before", "DATE_TIME_TYPE_PARSE", message)
        raise refused from error
    return stamp(moment.timestamp())
