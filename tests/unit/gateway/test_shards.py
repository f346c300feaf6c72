"""A bot in so many guilds that Discord wants two connections of it serves those of both."""

from __future__ import annotations

from pathlib import Path

import discord as library
import pytest

from repobridge_gateway.chat import ChatMessage, Connected
from tests.fakes.discord import GENEROUS, Discord, RunningClock
from tests.unit.gateway.catching import a_store, listening, serving


async def test_what_is_said_and_missed_in_the_guilds_of_two_shards_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library.AutoShardedClient, "before_identify_hook", _at_once)
    clock = RunningClock()
    async with (
        Discord(limits=GENEROUS, clock=clock, guilds_per_shard=1) as discord,
        a_store(discord, tmp_path / "store") as store,
    ):
        guilds = [discord.add_guild("first")]
        # The millisecond of a guild decides on its shard: the next one is of an odd number later.
        discord.world.snowflakes._last = ((guilds[0].id >> 22) + 1_001) << 22
        guilds.append(discord.add_guild("second"))
        assert [(each.id >> 22) % 2 for each in guilds] in ([0, 1], [1, 0])
        channels = [discord.add_channel(each, each.name) for each in guilds]
        served = [serving(each, created_at=clock.wall() - 1) for each in channels]
        people = [discord.add_person(each, "ann") for each in guilds]
        async with listening(discord, served, store) as ears:
            await ears.next(Connected, number=2)
            for person, channel in zip(people, channels, strict=True):
                person.say(channel, "heard")
            await ears.next_taken_in(ChatMessage, number=2)
            async with discord.gateway.outage():
                for person, channel in zip(people, channels, strict=True):
                    person.say(channel, "missed")
            await ears.next(Connected, number=4)
            await ears.catch_up.done()
        told = [(each.shard_id, each.resumed) for each in ears.of(Connected)]
        assert sorted(told) == [(0, False), (0, False), (1, False), (1, False)]
        for each in served:
            waiting = await store.inbox.queue(each.uid, "main")
            assert [one.kept.message.content for one in waiting] == ["heard", "missed"]
        assert discord.failures == []


async def _at_once(self: object, shard_id: int | None, *, initial: bool = False) -> None:
    """Without the five seconds that the real Discord wants between two."""
