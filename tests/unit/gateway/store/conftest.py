"""A store of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import Clock, open_store


@pytest.fixture
def clock() -> Clock:
    """What the store takes for the time."""
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    """An empty store."""
    store = await open_store(tmp_path / "store", clock)
    yield store
    await store.close()
