"""A Discord of each test's own, at first with one guild, one channel, and ann in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes.discord import GENEROUS, Channel, Discord, Guild, Person, RunningClock
from tests.unit.gateway.bots import Heard, heard
from tests.unit.gateway.stage import Stage, staged


@pytest.fixture
def clock() -> RunningClock:
    """Discord's time, which a test may advance."""
    return RunningClock()


@pytest.fixture
async def discord(clock: RunningClock) -> AsyncIterator[Discord]:
    """An empty Discord that limits nobody; nothing may fail in it that a test did not cause."""
    async with Discord(limits=GENEROUS, clock=clock) as made:
        yield made
        assert made.failures == []


@pytest.fixture
def guild(discord: Discord) -> Guild:
    """The guild."""
    return discord.add_guild("acme")


@pytest.fixture
def channel(discord: Discord, guild: Guild) -> Channel:
    """Its channel."""
    return discord.add_channel(guild, "payments")


@pytest.fixture
def ann(discord: Discord, guild: Guild) -> Person:
    """Somebody who may write there."""
    return discord.add_person(guild, "ann")


@pytest.fixture
async def bot(discord: Discord, channel: Channel) -> AsyncIterator[Heard]:
    """Our bot, connected once the channel is there."""
    async with heard(discord) as made:
        yield made


@pytest.fixture
async def stage(discord: Discord, tmp_path: Path) -> AsyncIterator[Stage]:
    """A served channel, in a guild with people of every standing."""
    async with staged(tmp_path, discord) as made:
        yield made
