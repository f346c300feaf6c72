"""Fixtures that every test may use: the pinned Claude CLI, and the API that it talks to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.claude_home import install_claude, make_claude_env
from tests.fakes.anthropic import FakeAnthropic

# How long an example takes is the machine's business: a loaded one fails no property.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """The scheduler of `pytest -n`: tests that share what is slow to start stay together.

    xdist's own groups do nothing with this version of pytest.
    """
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = _group_of
    return scheduler


def _group_of(test: str) -> str:
    """All tests of the node in one worker, and each file of those with an API server."""
    file, _, _ = test.partition("::")
    if file.startswith("tests/cluster/"):
        return "tests/cluster"
    return file if file.startswith(("tests/apiserver/", "tests/chart/")) else test


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
