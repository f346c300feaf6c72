"""Our commands are in the menus of the guilds that we serve, and come to those that follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from repobridge_gateway.access import OPEN
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.registering import Registering
from repobridge_gateway.slashspec import Slash
from tests.fakes.discord import Channel, Discord, Forbidden, Status
from tests.unit.gateway.bots import Heard, heard
from tests.unit.gateway.bridges import HandBridge

_REGISTER = "PUT /applications/{application_id}/guilds/{guild_id}/commands"


def served_by(discord: Discord, *channels: Channel) -> dict[str, Served]:
    bridge = HandBridge(wanted=discord.changes.note)
    made = [
        Served(
            uid=f"uid-{each.id}",
            bridge=bridge,
            channel_id=str(each.id),
            created_at=0.0,
            access=OPEN,
        )
        for each in channels
    ]
    return {each.channel_id: each for each in made}


@asynccontextmanager
async def registering(bot: Heard, channels: FixedChannels) -> AsyncIterator[None]:
    task = asyncio.create_task(Registering(bot.rest, channels, again_seconds=0.01).run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def registered(discord: Discord) -> list[int]:
    """The answers to what was registered so far."""
    return [each.status for each in discord.requests if each.route == _REGISTER]


async def test_each_guild_gets_the_commands_once_however_many_channels_it_has(
    discord: Discord,
) -> None:
    acme, other = discord.add_guild("acme"), discord.add_guild("other")
    first, second = discord.add_channel(acme, "a"), discord.add_channel(acme, "b")
    late = discord.add_channel(other, "c")
    channels = FixedChannels([])
    channels.served.set(served_by(discord, first, second))
    discord.faults.on(_REGISTER, Status(400))
    async with heard(discord) as bot, registering(bot, channels):
        await discord.until(lambda: registered(discord) == [400, 200])
        channels.served.set(served_by(discord, first, second, late))
        await discord.until(lambda: registered(discord) == [400, 200, 200])
    paths = [each.path for each in discord.requests if each.route == _REGISTER]
    assert [str(acme.id) in path for path in paths] == [True, True, False]
    ann = discord.add_person(other, "ann")
    with pytest.raises(Forbidden, match="model is required"):
        await ann.command(late, Slash.MODEL)


async def test_what_discord_can_not_do_now_is_tried_again(discord: Discord) -> None:
    guild = discord.add_guild("acme")
    channel = discord.add_channel(guild, "a")
    channels = FixedChannels(served_by(discord, channel).values())
    discord.faults.on(_REGISTER, Status(503))
    async with heard(discord) as bot, registering(bot, channels):
        await discord.until(lambda: registered(discord) == [503, 200])
