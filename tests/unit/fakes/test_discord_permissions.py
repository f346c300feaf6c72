"""The imitation computes permissions as discord.py does, whatever the roles and overwrites."""

from __future__ import annotations

import asyncio

import discord
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.discord import EVERYTHING, GENEROUS, Discord, Permission, Person, Role
from tests.fakes.discord.client import Bot
from tests.fakes.discord.payloads import guild_create_json
from tests.fakes.discord.permissions import can_see, in_channel

# What only holds for whole guilds is no question of a channel that one can't see.
IN_CHANNELS = EVERYTHING & ~(
    Permission.KICK_MEMBERS
    | Permission.BAN_MEMBERS
    | Permission.ADMINISTRATOR
    | Permission.MANAGE_GUILD
)
ADMINS_ARE_RARE = st.sampled_from([Permission(0)] * 6 + [Permission.ADMINISTRATOR])
BITS = st.sets(st.sampled_from(list(Permission))).map(
    lambda bits: Permission(sum(bits)) & ~Permission.ADMINISTRATOR
)
ROLES = st.lists(st.builds(Permission.__or__, BITS, ADMINS_ARE_RARE), max_size=3)
OVERWRITES = st.lists(st.tuples(st.integers(0, 4), BITS, BITS), max_size=5)


@given(everyone=BITS, roles=ROLES, overwrites=OVERWRITES)
def test_a_members_permissions_are_those_that_discord_py_computes(
    everyone: Permission,
    roles: list[Permission],
    overwrites: list[tuple[int, Permission, Permission]],
) -> None:
    fake = Discord(limits=GENEROUS)
    guild = fake.add_guild("acme")
    channel = fake.add_channel(guild, "api")
    fake.set_permissions(fake.everyone(guild), guild, everyone)
    made = [
        fake.add_role(guild, f"role {index}", permissions=bits) for index, bits in enumerate(roles)
    ]
    alice = fake.add_person(guild, "alice", *made)
    whom: list[Role | Person] = [alice, fake.everyone(guild), *made]
    for index, allow, deny in overwrites:
        fake.overwrite(channel, whom[index % len(whom)], allow=allow, deny=deny)
    told = guild_create_json(guild, guild.members[fake.bot.id], with_members=True)
    expected = asyncio.run(_computed(fake, told, channel.id, alice.id))
    found = in_channel(alice.member, channel)
    assert found & IN_CHANNELS == Permission(expected & IN_CHANNELS)
    assert can_see(alice.member, channel) == bool(expected & Permission.VIEW_CHANNEL)


async def _computed(fake: Discord, told: object, channel_id: int, member_id: int) -> int:
    """The same by discord.py, from the payloads alone."""
    client = Bot(fake)
    guild = discord.Guild(data=told, state=client._connection)  # type: ignore[arg-type]
    channel, member = guild.get_channel(channel_id), guild.get_member(member_id)
    assert channel is not None
    assert member is not None
    return channel.permissions_for(member).value
