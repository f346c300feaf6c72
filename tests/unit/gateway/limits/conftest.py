"""What all tests of limits share."""

from __future__ import annotations

import pytest

from tests.unit.gateway.limits.charges import Clock


@pytest.fixture
def clock() -> Clock:
    """What a ledger takes for the time."""
    return Clock()
