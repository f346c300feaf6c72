"""Nothing is lost or doubled by a kill at any commit, or by two gateways that note the same."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from repobridge_gateway.limits.budget import Budget
from repobridge_gateway.limits.ledger import (
    Answer,
    Held,
    Ledger,
    Standing,
    UsageRow,
    Used,
)
from repobridge_gateway.limits.memory import MemoryLedger
from repobridge_gateway.limits.valkey.connection import ValkeySettings
from repobridge_gateway.limits.valkey.ledger import ValkeyLedger
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.limits.charges import (
    CHANNEL_BUCKET,
    DAILY,
    MINUTE,
    SHARED,
    TODAY,
    USER_BUCKET,
    Clock,
    charge,
    reservation,
    spending,
)
from tests.unit.gateway.store.trial import Doom, Killed
from tests.valkey import ValkeyServer

BUDGETS = [DAILY, SHARED, Held(subject="guild:1", budget=Budget(micro_usd=60, period_seconds=60))]
COMMITS = 18
"""As many as `live` makes: one for each of its calls."""
State = tuple[Sequence[Answer], Sequence[Standing], Sequence[UsageRow]]


async def live(ledger: Ledger) -> None:
    """Three messages with their turns, of which the last one goes on."""
    for number in range(3):
        await ledger.charge(charge(number, USER_BUCKET, MINUTE, CHANNEL_BUCKET))
        await ledger.reserve(reservation(number, *BUDGETS, tokens=200))
        for output in (50, 50, 120):
            used = Used(output=output, cache_read=output, micro_usd=output // 5)
            await ledger.spend(spending(f"t{number}", used, *BUDGETS, message=str(number)))
        if number < 2:
            await ledger.release("1", str(number))
    await ledger.charge(charge(3, USER_BUCKET, MINUTE, CHANNEL_BUCKET))


async def state_of(ledger: Ledger) -> State:
    """What can be told of it, by standing still and by asking further."""
    standing = await ledger.standing("1", BUDGETS)
    usage = await ledger.usage("1", since=TODAY, until=TODAY)
    answers = [await ledger.charge(charge(n, MINUTE, CHANNEL_BUCKET)) for n in range(3, 12)]
    return answers, standing, usage


@pytest.fixture
async def expected(clock: Clock) -> State:
    """What comes of a life without trouble."""
    ledger = MemoryLedger(clock=clock)
    await live(ledger)
    return await state_of(ledger)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "at",
    [pytest.param(at, marks=[] if at == 9 else pytest.mark.long) for at in range(1, COMMITS + 1)],
)
async def test_a_gateway_killed_at_any_commit_begins_again_and_charges_the_same(
    tmp_path: Path, clock: Clock, expected: State, at: int, when: str
) -> None:
    store = await SqliteStore.open(tmp_path, clock=clock)
    Doom(store, at=at, when=when)
    with pytest.raises(Killed):
        await live(store.ledger)
    await store.close()
    store = await SqliteStore.open(tmp_path, clock=clock)
    before = store.commits
    await live(store.ledger)
    assert store.commits - before == COMMITS
    assert await state_of(store.ledger) == expected
    await store.close()


async def test_two_gateways_that_note_the_same_at_once_note_it_once(
    valkey: ValkeyServer, clock: Clock, expected: State
) -> None:
    settings = ValkeySettings(url=valkey.url, prefix=uuid.uuid4().hex, timeout_seconds=60)
    one, other = (ValkeyLedger(settings, clock=clock) for _ in range(2))
    await asyncio.gather(live(one), live(other))
    assert await state_of(one) == expected
    await one.close()
    await other.close()
