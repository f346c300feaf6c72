"""A plain client for the imitation of the Anthropic API."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fakes.anthropic import FakeAnthropic
from tests.fakes.anthropic.client import Client


@pytest.fixture
async def client(anthropic_api: FakeAnthropic) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield Client(anthropic_api, http)
