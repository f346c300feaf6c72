"""The records of the imitation as the JSON of Discord's API."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from tests.fakes.discord import permissions
from tests.fakes.discord.model import (
    Application,
    Attachment,
    Channel,
    ChannelType,
    Guild,
    Json,
    Member,
    Message,
    MessageFlag,
    Role,
    User,
)

LinkOf = Callable[[Channel, Attachment], str]


def stamp(wall: float) -> str:
    """A moment as Discord writes it."""
    moment = datetime.datetime.fromtimestamp(wall, datetime.UTC)
    return moment.isoformat(timespec="microseconds")


def user_json(user: User) -> Json:
    """An account."""
    return {
        "id": str(user.id),
        "username": user.name,
        "global_name": None if user.is_bot else user.name.capitalize(),
        "discriminator": "0000" if user.is_bot else "0",
        "avatar": None,
        "bot": user.is_bot,
        "public_flags": 0,
    }


def member_json(member: Member, *, with_user: bool = True) -> Json:
    """A member; in messages without the user."""
    data: Json = {
        "roles": [str(role_id) for role_id in member.role_ids],
        "joined_at": stamp(member.joined_at),
        "nick": None,
        "avatar": None,
        "premium_since": None,
        "communication_disabled_until": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
    }
    return data | {"user": user_json(member.user)} if with_user else data


def role_json(role: Role) -> Json:
    """A role."""
    return {
        "id": str(role.id),
        "name": role.name,
        "permissions": str(int(role.permissions)),
        "position": role.position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": role.is_managed,
        "mentionable": role.is_mentionable,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }


def channel_json(channel: Channel, *, for_user: int | None = None) -> Json:
    """A channel or thread; with `for_user`, that user's own membership of a thread."""
    if channel.thread is not None:
        return thread_json(channel, for_user=for_user)
    data: Json = {
        "id": str(channel.id),
        "type": int(channel.type),
        "guild_id": str(channel.guild.id),
        "name": channel.name,
        "position": channel.position,
        "parent_id": None if channel.parent is None else str(channel.parent.id),
        "permission_overwrites": [
            {
                "id": str(overwrite.id),
                "type": overwrite.type,
                "allow": str(int(overwrite.allow)),
                "deny": str(int(overwrite.deny)),
            }
            for overwrite in channel.overwrites.values()
        ],
        "flags": 0,
    }
    if channel.type is ChannelType.CATEGORY:
        return data
    return data | {
        "topic": channel.topic,
        "nsfw": False,
        "rate_limit_per_user": channel.slowmode_seconds,
        "last_message_id": _optional(channel.last_message_id),
        "last_pin_timestamp": None,
    }


def thread_json(channel: Channel, *, for_user: int | None = None) -> Json:
    """A thread."""
    thread = channel.thread
    if thread is None or channel.parent is None:
        raise AssertionError("a thread has a parent")
    archived = {
        "archived": thread.is_archived,
        "archive_timestamp": stamp(thread.archived_at),
        "auto_archive_duration": thread.auto_archive_minutes,
        "locked": thread.is_locked,
        "create_timestamp": stamp(thread.created_at),
    }
    if channel.is_private_thread:
        archived["invitable"] = True
    data: Json = {
        "id": str(channel.id),
        "type": int(channel.type),
        "guild_id": str(channel.guild.id),
        "parent_id": str(channel.parent.id),
        "owner_id": str(thread.owner_id),
        "name": channel.name,
        "last_message_id": _optional(channel.last_message_id),
        "message_count": len(channel.messages),
        "member_count": min(len(thread.members), 50),
        "total_message_sent": thread.messages_sent,
        "rate_limit_per_user": channel.slowmode_seconds,
        "thread_metadata": archived,
        "flags": 0,
    }
    if for_user in thread.members:
        data["member"] = thread_member_json(channel, for_user)
    return data


def thread_member_json(channel: Channel, user_id: int) -> Json:
    """Someone's membership of a thread."""
    if channel.thread is None:
        raise AssertionError("only threads have members of their own")
    return {
        "id": str(channel.id),
        "user_id": str(user_id),
        "join_timestamp": stamp(channel.thread.members[user_id]),
        "flags": 0,
    }


def guild_json(guild: Guild) -> Json:
    """A guild without what changes often."""
    return {
        "id": str(guild.id),
        "name": guild.name,
        "owner_id": str(guild.owner_id),
        "roles": [role_json(role) for role in guild.roles.values()],
        "icon": None,
        "splash": None,
        "discovery_splash": None,
        "banner": None,
        "description": None,
        "emojis": [],
        "stickers": [],
        "features": [],
        "afk_channel_id": None,
        "afk_timeout": 300,
        "region": "deprecated",
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "application_id": None,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "vanity_url_code": None,
        "preferred_locale": "en-US",
        "max_members": 500_000,
        "incidents_data": None,
    }


def guild_create_json(guild: Guild, bot: Member, *, with_members: bool) -> Json:
    """A guild as a session first gets it: with channels, the threads it can see, and members."""
    members = guild.members.values() if with_members else [bot]
    channels = guild.channels.values()
    return guild_json(guild) | {
        "joined_at": stamp(bot.joined_at),
        "large": len(guild.members) > 250,
        "unavailable": False,
        "member_count": len(guild.members),
        "members": [member_json(member) for member in members],
        "channels": [channel_json(channel) for channel in channels if channel.thread is None],
        "threads": [
            thread_json(channel, for_user=bot.user.id)
            for channel in channels
            if channel.thread is not None
            and not channel.thread.is_archived
            and permissions.can_see(bot, channel)
        ],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def attachment_json(channel: Channel, attachment: Attachment, link: LinkOf) -> Json:
    """A file with a link that is good for a while."""
    url = link(channel, attachment)
    data: Json = {
        "id": str(attachment.id),
        "filename": attachment.filename,
        "size": len(attachment.data),
        "url": url,
        "proxy_url": url,
        "content_type": attachment.content_type,
    }
    if attachment.description is not None:
        data["description"] = attachment.description
    return data | {"ephemeral": True} if attachment.is_ephemeral else data


def message_json(message: Message, link: LinkOf, *, me: int, nested: bool = False) -> Json:
    """A message as the REST API tells it; a nested one does not tell what it answers in turn."""
    channel = message.channel
    data: Json = {
        "id": str(message.id),
        "channel_id": str(channel.id),
        "type": int(message.type),
        "author": user_json(message.author),
        "content": message.content,
        "timestamp": stamp(message.created_at),
        "edited_timestamp": None if message.edited_at is None else stamp(message.edited_at),
        "tts": False,
        "mention_everyone": message.mentions_everyone,
        "mentions": [user_json(user) for user in message.mentions],
        "mention_roles": [str(role_id) for role_id in message.mention_roles],
        "attachments": [attachment_json(channel, item, link) for item in message.attachments],
        "embeds": message.embeds,
        "components": message.components,
        "pinned": False,
        "flags": message.flags,
    } | message.more
    if message.reactions:
        data["reactions"] = [
            _reaction_json(emoji, users, me) for emoji, users in message.reactions.items()
        ]
    if message.webhook_id is not None:
        data["webhook_id"] = str(message.webhook_id)
    if message.application_id is not None:
        data["application_id"] = str(message.application_id)
    if message.origin is not None:
        data["interaction_metadata"] = _origin_json(message)
    if message.flags & MessageFlag.HAS_THREAD and message.id in channel.guild.channels:
        data["thread"] = thread_json(channel.guild.channels[message.id], for_user=me)
    return data if message.reference is None else data | _reference(message, link, me, nested)


def application_json(application: Application, *, guilds: int) -> Json:
    """The bot's application."""
    return {
        "id": str(application.id),
        "name": application.user.name,
        "icon": None,
        "description": "",
        "bot": user_json(application.user),
        "bot_public": False,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "team": None,
        "owner": user_json(User(application.id - 1, "owner")),
        "summary": "",
        "flags": application.flags,
        "rpc_origins": [],
        "approximate_guild_count": guilds,
        "interactions_endpoint_url": None,
    }


def emoji_json(emoji: str) -> Json:
    """A Unicode emoji, or a custom one written as name:id."""
    name, _, emoji_id = emoji.partition(":")
    return {"id": emoji_id or None, "name": name}


def _reaction_json(emoji: str, users: list[int], me: int) -> Json:
    return {
        "emoji": emoji_json(emoji),
        "count": len(users),
        "count_details": {"burst": 0, "normal": len(users)},
        "me": me in users,
        "me_burst": False,
        "burst_colors": [],
    }


def _reference(message: Message, link: LinkOf, me: int, nested: bool) -> Json:
    reference = message.reference
    if reference is None:
        return {}
    told: Json = {
        "type": 0,
        "channel_id": str(reference.channel_id),
        "guild_id": str(reference.guild_id),
    }
    if reference.message_id is None:
        return {"message_reference": told}
    told["message_id"] = str(reference.message_id)
    data: Json = {"message_reference": told}
    if nested:
        return data
    channel = message.channel.guild.channels.get(reference.channel_id)
    answered = None if channel is None else channel.messages.get(reference.message_id)
    told_whole = None if answered is None else message_json(answered, link, me=me, nested=True)
    return data | {"referenced_message": told_whole}


def _origin_json(message: Message) -> Json:
    origin = message.origin
    if origin is None:
        raise AssertionError("only answers to interactions have an origin")
    data: Json = {
        "id": str(origin.id),
        "type": origin.type,
        "user": user_json(origin.user),
        "authorizing_integration_owners": {"0": str(message.channel.guild.id)},
    }
    if origin.message_id is not None:
        data["interacted_message_id"] = str(origin.message_id)
    return data if origin.command is None else data | {"name": origin.command}


def _optional(snowflake: int | None) -> str | None:
    return None if snowflake is None else str(snowflake)
