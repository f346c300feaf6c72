"""What the bot may not do in a channel is told before it fails of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from repobridge_gateway.access import OPEN
from repobridge_gateway.channels import FixedChannels, Served
from repobridge_gateway.rights import Rights
from tests.fakes.discord import Channel, Discord, Guild, Permission
from tests.unit.gateway.bots import Heard
from tests.unit.gateway.bridges import HandBridge


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_missing_permissions_are_named_once_in_the_log_and_as_a_sentence_until_they_are_there(
    discord: Discord, guild: Guild, channel: Channel, bot: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    name, permitted = str(channel.id), list[str]()
    bridge = HandBridge(wanted=lambda: None)
    served = Served(uid="uid", bridge=bridge, channel_id=name, created_at=0.0, access=OPEN)
    rights = Rights(
        bot.bot.lacks, FixedChannels([served]), permitted=permitted.append, look_seconds=0.01
    )
    task = asyncio.create_task(rights.run())

    def logged() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name.endswith("rights")]

    everyone, denied = discord.everyone(guild), Permission.READ_MESSAGE_HISTORY
    assert (bot.bot.lacks(name), bot.bot.lacks("1"), rights.problem(name)) == ((), (), "")
    discord.overwrite(channel, everyone, deny=denied | Permission.ADD_REACTIONS)
    await until(lambda: len(logged()) == 1)
    assert rights.problem(name) == (
        "Permissions that I need are missing here: Read Message History, Add Reactions; my role has"
        " to get them."
    )
    discord.overwrite(channel, everyone, deny=denied)
    await until(lambda: len(logged()) == 2)
    discord.overwrite(channel, everyone)
    await until(lambda: len(permitted) == 2)
    assert (rights.problem(name), permitted) == ("", [name, name])
    assert logged() == ["permissions missing"] * 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
