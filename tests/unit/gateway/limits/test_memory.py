"""The ledger in memory stays small."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from repobridge_gateway.limits.budget import Amount
from repobridge_gateway.limits.ledger import Used
from repobridge_gateway.limits.memory import MemoryLedger
from tests.unit.gateway.limits.charges import (
    CHANNEL_BUCKET,
    DAILY,
    DAY,
    HOUR,
    LARGE,
    USER_BUCKET,
    Clock,
    charge,
    reservation,
    spending,
)


async def test_a_full_bucket_is_forgotten_without_loss(clock: Clock) -> None:
    ledger = MemoryLedger(clock=clock)
    for number in range(3):
        await ledger.charge(charge(number, USER_BUCKET))
    clock.now += 2 * DAY
    assert await ledger.trim() == 4  # three answers, and the bucket
    assert ledger.entries == 0


async def test_what_has_expired_goes_as_others_come(clock: Clock) -> None:
    ledger = MemoryLedger(clock=clock)
    for number in range(5000):
        clock.now += HOUR
        await ledger.charge(charge(number, replace(LARGE, subject=f"user:1:{number}")))
    assert ledger.entries < 100
    assert ledger.evicted == 0


async def test_crowds_do_not_make_it_grow_and_what_ends_soonest_goes(clock: Clock) -> None:
    ledger = MemoryLedger(clock=clock, size=100)
    for number in range(100):
        await ledger.charge(charge(number, LARGE))
    for number in range(1000, 2000):
        await ledger.charge(charge(number, replace(CHANNEL_BUCKET, subject=f"channel:{number}")))
    assert ledger.entries == 200
    assert ledger.evicted > 0
    # The window of an hour has outlived a thousand buckets, that would have been full in a second.
    assert not (await ledger.charge(charge(3000, LARGE))).is_granted


async def test_reservations_that_were_given_up_hold_nothing(clock: Clock) -> None:
    ledger = MemoryLedger(clock=clock, size=10)
    for number in range(50):
        clock.now += 1
        await ledger.reserve(reservation(number, DAILY, tokens=1))
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing.reserved == Amount(tokens=10)


async def test_usage_is_bounded_too_and_the_oldest_day_goes_first(clock: Clock) -> None:
    ledger = MemoryLedger(clock=clock, size=10)
    for number in range(30):
        clock.now += DAY
        await ledger.spend(spending(str(number), Used(output=number)))
    since, until = date.fromtimestamp(0), date(2030, 1, 1)
    rows = await ledger.usage("1", since=since, until=until)
    assert [row.used.output for row in rows] == list(range(20, 30))
