"""Fixtures that every test may use: the pinned Claude CLI, and the API that it talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.claude_home import install_claude, make_claude_env
from tests.fakes.anthropic import FakeAnthropic

SHARED = ("apiserver", "cluster")
"""Folders whose tests share something that is slow to start: one worker runs them all."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a shared thing together where several workers run."""
    tests = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        if folder in SHARED:
            item.add_marker(pytest.mark.xdist_group(folder))


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
