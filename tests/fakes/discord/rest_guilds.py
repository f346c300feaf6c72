"""REST: the bot itself, its application, guilds with their roles, members and channels."""

from __future__ import annotations

from tests.fakes.discord.call import Call, Result, Route
from tests.fakes.discord.model import Channel, ChannelType
from tests.fakes.discord.payloads import (
    application_json,
    channel_json,
    guild_json,
    member_json,
    role_json,
    user_json,
)
from tests.fakes.discord.permissions import Permission, in_guild
from tests.fakes.discord.refusal import FormErrors, refusal
from tests.fakes.discord.snowflakes import parse


def get_me(call: Call) -> Result:
    """The bot's account."""
    return user_json(call.world.bot) | {"verified": True, "mfa_enabled": False, "flags": 0}


def get_application(call: Call) -> Result:
    """The application with its flags."""
    return application_json(call.world.application, guilds=len(call.world.guilds))


def get_my_guilds(call: Call) -> Result:
    """The guilds that the bot is in."""
    limit = call.number("limit", default=200, least=1, most=200)
    after = parse(call.query.get("after", "0"), field="after")
    before = parse(call.query.get("before", str(2**63 - 1)), field="before")
    guilds = [
        guild
        for guild_id, guild in sorted(call.world.guilds.items())
        if after < guild_id < before and call.world.bot.id in guild.members
    ]
    bot = call.world.bot.id
    return [
        {
            "id": str(guild.id),
            "name": guild.name,
            "icon": None,
            "banner": None,
            "owner": False,
            "permissions": str(int(in_guild(guild.members[bot]))),
            "features": [],
        }
        for guild in guilds[:limit]
    ]


def get_user(call: Call) -> Result:
    """Anybody's account."""
    user = call.world.users.get(call.id_of("user_id"))
    if user is None:
        raise refusal(10013)
    return user_json(user)


def get_guild(call: Call) -> Result:
    """A guild."""
    guild, _ = call.guild()
    counts = {"approximate_member_count": len(guild.members), "approximate_presence_count": 0}
    return guild_json(guild) | counts if call.query.get("with_counts") else guild_json(guild)


def get_roles(call: Call) -> Result:
    """All roles of a guild."""
    guild, _ = call.guild()
    return [role_json(role) for role in guild.roles.values()]


def get_channels(call: Call) -> Result:
    """All channels of a guild, without threads."""
    guild, _ = call.guild()
    return [channel_json(item) for item in guild.channels.values() if item.thread is None]


def create_channel(call: Call) -> Result:
    """A new text channel or category."""
    guild, bot = call.guild()
    if not in_guild(bot) & Permission.MANAGE_CHANNELS:
        raise refusal(50013)
    body = call.fields
    errors = FormErrors()
    errors.check_length("name", str(body.get("name") or ""), least=1, most=100)
    kind = body.get("type") or 0
    if kind not in (ChannelType.TEXT, ChannelType.CATEGORY):
        errors.add("type", "BASE_TYPE_CHOICES", "Value must be one of (0, 4).")
    errors.raise_if_any()
    parent = guild.channels.get(int(body.get("parent_id") or 0))
    channel = Channel(
        id=call.world.snowflakes.make(),
        guild=guild,
        type=ChannelType(kind),
        name=str(body["name"]).lower().replace(" ", "-"),
        position=len(guild.channels),
        parent=parent,
        topic=body.get("topic"),
        overwrites={} if parent is None else dict(parent.overwrites),
    )
    call.world.channels[channel.id] = guild.channels[channel.id] = channel
    call.world.emit("CHANNEL_CREATE", channel_json(channel), guild)
    return channel_json(channel)


def get_member(call: Call) -> Result:
    """One member."""
    guild, _ = call.guild()
    member = guild.members.get(call.id_of("user_id"))
    if member is None:
        known = call.id_of("user_id") in call.world.users
        raise refusal(10007 if known else 10013)
    return member_json(member)


def get_members(call: Call) -> Result:
    """Members by id, for applications with the members intent."""
    guild, _ = call.guild()
    if not call.world.application.has_members_intent:
        raise refusal(50001)
    limit = call.number("limit", default=1, least=1, most=1000)
    after = parse(call.query.get("after", "0"), field="after")
    members = [member for user_id, member in sorted(guild.members.items()) if user_id > after]
    return [member_json(member) for member in members[:limit]]


ROUTES = (
    Route("GET", "/users/@me", get_me),
    Route("GET", "/users/@me/guilds", get_my_guilds),
    Route("GET", "/users/{user_id}", get_user),
    Route("GET", "/applications/@me", get_application),
    Route("GET", "/oauth2/applications/@me", get_application),
    Route("GET", "/guilds/{guild_id}", get_guild),
    Route("GET", "/guilds/{guild_id}/roles", get_roles),
    Route("GET", "/guilds/{guild_id}/channels", get_channels),
    Route("POST", "/guilds/{guild_id}/channels", create_channel, status=201),
    Route("GET", "/guilds/{guild_id}/members", get_members),
    Route("GET", "/guilds/{guild_id}/members/{user_id}", get_member),
)
