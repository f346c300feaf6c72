"""Fixtures that every test may use: the pinned Claude CLI, and the API that it talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.claude_home import install_claude, make_claude_env
from tests.fakes.anthropic import FakeAnthropic


@pytest.fixture(scope="session")
def claude_path() -> Path:
    """The pinned Claude CLI, installed into the cache when it is not there yet."""
    return install_claude()


@pytest.fixture
def claude_env() -> Callable[..., dict[str, str]]:
    """`claude_env(home, api, trusted=[...], **extra)`: see `tests.claude_home.make_claude_env`."""
    return make_claude_env


@pytest.fixture
async def anthropic_api() -> AsyncIterator[FakeAnthropic]:
    """A fresh imitation of the API that echoes until it is scripted."""
    async with FakeAnthropic() as api:
        yield api
