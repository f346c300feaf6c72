"""Plain clients for the imitations of the Anthropic API and of Discord."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.anthropic.client import Client
from tests.fakes.discord import GENEROUS, Discord, RunningClock
from tests.fakes.discord.raw import RawRest


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield session


@pytest.fixture
async def client(anthropic_api: FakeAnthropic, http: aiohttp.ClientSession) -> Client:
    return Client(anthropic_api, http)


@pytest.fixture
def clock() -> RunningClock:
    return RunningClock()


@pytest.fixture
async def fake(clock: RunningClock) -> AsyncIterator[Discord]:
    async with Discord(clock=clock, limits=GENEROUS) as discord:
        yield discord


@pytest.fixture
def rest(fake: Discord, http: aiohttp.ClientSession) -> RawRest:
    return RawRest(fake, http)
