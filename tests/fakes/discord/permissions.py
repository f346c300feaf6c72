"""Discord's permission bits, and what a member may do in a channel."""

from __future__ import annotations

from enum import IntFlag

from tests.fakes.discord.model import Channel, Member


class Permission(IntFlag):
    """The bits that a bot of text channels meets."""

    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    MANAGE_ROLES = 1 << 28
    MANAGE_WEBHOOKS = 1 << 29
    USE_APPLICATION_COMMANDS = 1 << 31
    MANAGE_THREADS = 1 << 34
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    SEND_MESSAGES_IN_THREADS = 1 << 38


EVERYTHING = Permission(sum(Permission))
PEOPLE = (
    Permission.ADD_REACTIONS
    | Permission.VIEW_CHANNEL
    | Permission.SEND_MESSAGES
    | Permission.EMBED_LINKS
    | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY
    | Permission.USE_EXTERNAL_EMOJIS
    | Permission.USE_APPLICATION_COMMANDS
    | Permission.CREATE_PUBLIC_THREADS
    | Permission.CREATE_PRIVATE_THREADS
    | Permission.SEND_MESSAGES_IN_THREADS
)
"""What @everyone may do in a new guild."""
NOTHING = Permission(0)


def in_guild(member: Member) -> Permission:
    """What the roles give, before the channel's overwrites."""
    guild = member.guild
    if member.user.id == guild.owner_id:
        return EVERYTHING
    given = guild.roles[guild.id].permissions
    for role_id in member.role_ids:
        given |= guild.roles[role_id].permissions
    return EVERYTHING if given & Permission.ADMINISTRATOR else Permission(given)


def in_channel(member: Member, channel: Channel) -> Permission:
    """What a member may do in a channel; a thread goes by its parent's overwrites."""
    given = in_guild(member)
    if given & Permission.ADMINISTRATOR:
        return given
    place = channel.parent if channel.thread is not None and channel.parent else channel
    given = _after_overwrites(given, member, place)
    if not given & Permission.VIEW_CHANNEL:
        return NOTHING
    speaks = Permission.SEND_MESSAGES_IN_THREADS if channel.thread else Permission.SEND_MESSAGES
    if not given & speaks:  # implicit: who can't write can't attach, embed or mention
        given &= ~(Permission.ATTACH_FILES | Permission.EMBED_LINKS | Permission.MENTION_EVERYONE)
    return given


def can_see(member: Member, channel: Channel) -> bool:
    """Whether the channel is there for a member; private threads are for their members."""
    given = in_channel(member, channel)
    if not given & Permission.VIEW_CHANNEL:
        return False
    if channel.thread is None or not channel.is_private_thread:
        return True
    return member.user.id in channel.thread.members or bool(given & Permission.MANAGE_THREADS)


def _after_overwrites(given: Permission, member: Member, channel: Channel) -> Permission:
    everyone = channel.overwrites.get(member.guild.id)
    if everyone is not None:
        given = Permission(given & ~everyone.deny | everyone.allow)
    allow = deny = 0
    for role_id in member.role_ids:
        if (overwrite := channel.overwrites.get(role_id)) is not None:
            allow |= overwrite.allow
            deny |= overwrite.deny
    given = Permission(given & ~deny | allow)
    own = channel.overwrites.get(member.user.id)
    return given if own is None else Permission(given & ~own.deny | own.allow)
