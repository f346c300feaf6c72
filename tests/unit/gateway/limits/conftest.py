"""What all tests of limits share: a clock, and one server of Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.ports import free_port
from tests.unit.gateway.limits.charges import Clock
from tests.valkey import ValkeyServer, serving


@pytest.fixture
def clock() -> Clock:
    """What a ledger takes for the time."""
    return Clock()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A cluster of one: it refuses a step whose keys would not lie together in a larger one."""
    directory: Path = tmp_path_factory.mktemp("valkey")
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with serving(directory, options) as server:
        with redis.Redis(port=server.port) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        server.wait_for("Cluster state changed: ok")
        yield server
