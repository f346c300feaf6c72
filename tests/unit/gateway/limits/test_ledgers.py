"""What every ledger does, whatever it is made of."""

from __future__ import annotations

import asyncio
import math
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.budget import Amount, Budget
from repobridge_gateway.limits.ledger import (
    Answer,
    Charge,
    Crossing,
    Held,
    Ledger,
    Spent,
    Standing,
    Take,
    UsageKey,
    UsageRow,
    Used,
)
from repobridge_gateway.limits.memory import MemoryLedger
from repobridge_gateway.limits.valkey.connection import ValkeySettings
from repobridge_gateway.limits.valkey.ledger import ValkeyLedger
from repobridge_gateway.limits.window import Window
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.limits.charges import (
    ADA,
    BOB,
    BRIDGE,
    CHANNEL_BUCKET,
    DAILY,
    DAY,
    HOUR,
    LARGE,
    MINUTE,
    NOW,
    SHARED,
    TODAY,
    USER_BUCKET,
    Clock,
    charge,
    reservation,
    row,
    spending,
)
from tests.valkey import ValkeyServer


@pytest.fixture(params=["memory", "sqlite", "valkey"])
async def ledger(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Ledger]:
    """An empty ledger, of each kind."""
    match request.param:
        case "memory":
            yield MemoryLedger(clock=clock)
        case "sqlite":
            store = await SqliteStore.open(tmp_path, clock=clock)
            yield store.ledger
            await store.close()
        case _:
            server: ValkeyServer = request.getfixturevalue("valkey")
            settings = ValkeySettings(url=server.url, prefix=uuid.uuid4().hex, timeout_seconds=60)
            ledger = ValkeyLedger(settings, clock=clock)
            yield ledger
            await ledger.close()


# ------------------------------------------------------------------------------- rate


async def test_a_burst_is_granted_and_then_it_is_said_when(ledger: Ledger, clock: Clock) -> None:
    answers = [await ledger.charge(charge(number, USER_BUCKET)) for number in range(4)]
    assert answers == [
        *[Answer(is_granted=True)] * 3,
        Answer(is_granted=False, until=NOW + 2, refused_by=USER_BUCKET.slot),
    ]
    clock.now = NOW + 2
    assert await ledger.charge(charge(5, USER_BUCKET)) == Answer(is_granted=True)
    assert not (await ledger.charge(charge(6, USER_BUCKET))).is_granted


async def test_all_limits_are_charged_or_none(ledger: Ledger, clock: Clock) -> None:
    for number in range(4):
        await ledger.charge(charge(number, MINUTE))
    for number in range(10, 20):
        answer = await ledger.charge(charge(number, USER_BUCKET, MINUTE, CHANNEL_BUCKET))
        assert answer == Answer(is_granted=False, until=NOW + 60, refused_by=MINUTE.slot)
    # Had a refused one been charged, these buckets would be empty.
    answers = [await ledger.charge(charge(n, USER_BUCKET, CHANNEL_BUCKET)) for n in range(20, 23)]
    assert all(answer.is_granted for answer in answers)


async def test_of_several_refusals_the_latest_is_told(ledger: Ledger) -> None:
    for number in range(3):
        await ledger.charge(charge(number, USER_BUCKET, MINUTE))
    await ledger.charge(charge(3, MINUTE))
    answer = await ledger.charge(charge(4, USER_BUCKET, MINUTE))
    assert answer == Answer(is_granted=False, until=NOW + 60, refused_by=MINUTE.slot)


async def test_a_message_is_charged_once_and_answered_the_same(
    ledger: Ledger, clock: Clock
) -> None:
    answers = [await ledger.charge(charge(number % 4, USER_BUCKET)) for number in range(8)]
    assert answers[4:] == answers[:4]
    clock.now += HOUR
    assert await ledger.charge(charge(3, USER_BUCKET)) == answers[3]
    assert all([(await ledger.charge(charge(n, USER_BUCKET))).is_granted for n in range(5, 8)])


async def test_limits_of_nought_and_no_limits_hold_nobody_up(ledger: Ledger) -> None:
    nought = Take(subject=ADA, limit=Bucket(per_second=0, burst=0))
    endless = Take(subject=ADA, limit=Window(seconds=60, requests=0))
    for number in range(50):
        assert (await ledger.charge(charge(number, nought, endless))).is_granted
    assert (await ledger.charge(charge(99))).is_granted


async def test_two_people_do_not_hold_each_other_up(ledger: Ledger) -> None:
    other = replace(USER_BUCKET, subject=BOB)
    for number in range(4):
        await ledger.charge(charge(number, USER_BUCKET))
    assert (await ledger.charge(charge(9, other))).is_granted


async def test_a_hundred_callers_at_once_get_exactly_what_there_is(ledger: Ledger) -> None:
    answers = await asyncio.gather(
        *(ledger.charge(charge(n, CHANNEL_BUCKET, LARGE)) for n in range(100))
    )
    assert sum(answer.is_granted for answer in answers) == 10


async def test_one_message_that_many_bring_at_once_is_charged_once(ledger: Ledger) -> None:
    answers = await asyncio.gather(*(ledger.charge(charge(7, USER_BUCKET)) for _ in range(20)))
    assert set(answers) == {Answer(is_granted=True)}
    assert (await ledger.charge(charge(8, USER_BUCKET))).is_granted
    assert (await ledger.charge(charge(9, USER_BUCKET))).is_granted


@pytest.mark.parametrize("take", [USER_BUCKET, MINUTE], ids=["bucket", "window"])
async def test_a_clock_set_back_gives_nothing_and_blocks_briefly(
    ledger: Ledger, clock: Clock, take: Take
) -> None:
    for number in range(4):
        await ledger.charge(charge(number, take))
    clock.now = NOW - 10 * HOUR
    answer = await ledger.charge(charge(10, take))
    assert not answer.is_granted
    assert clock.now < answer.until <= clock.now + 61
    clock.now = answer.until
    assert (await ledger.charge(charge(11, take))).is_granted


async def test_a_large_window_counts_in_sixty_fourths(ledger: Ledger, clock: Clock) -> None:
    for number in range(100):
        assert (await ledger.charge(charge(number, LARGE))).is_granted
    clock.now += 60
    step = HOUR / 64
    until = math.ceil(NOW / step) * step + HOUR
    expected = Answer(is_granted=False, until=until, refused_by=LARGE.slot)
    assert await ledger.charge(charge(100, LARGE)) == expected


def test_one_limit_twice_in_a_charge_is_refused() -> None:
    with pytest.raises(ValueError, match="stands twice"):
        charge(1, USER_BUCKET, USER_BUCKET)


# ---------------------------------------------------------------------------- budgets


async def test_turns_reserve_and_what_they_leave_is_there_for_others(ledger: Ledger) -> None:
    answers = [await ledger.reserve(reservation(n, DAILY)) for n in range(4)]
    assert answers == [
        *[Answer(is_granted=True)] * 3,
        Answer(is_granted=False, until=NOW, refused_by=DAILY.slot),
    ]
    await ledger.release("1", "0")
    assert (await ledger.reserve(reservation(4, DAILY))).is_granted


async def test_a_reservation_of_several_budgets_is_all_or_nothing(ledger: Ledger) -> None:
    await ledger.spend(spending("t", Used(output=1000), DAILY))
    answer = await ledger.reserve(reservation(1, SHARED, DAILY))
    assert answer == Answer(is_granted=False, until=NOW + DAY, refused_by=DAILY.slot)
    assert [each.reserved for each in await ledger.standing("1", [SHARED])] == [Amount()]


async def test_of_budgets_that_are_spent_for_as_long_the_first_is_told(ledger: Ledger) -> None:
    other = replace(DAILY, subject=BOB)
    await ledger.spend(spending("t", Used(output=1000), other, DAILY))
    for tokens in (0, 300):
        answer = await ledger.reserve(reservation(1, other, DAILY, tokens=tokens))
        assert answer == Answer(is_granted=False, until=NOW + DAY, refused_by=other.slot)


async def test_a_reservation_is_made_once_even_after_its_end(ledger: Ledger) -> None:
    for _ in range(3):
        assert (await ledger.reserve(reservation(1, DAILY))).is_granted
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing == Standing(slot=DAILY.slot, spent=Amount(), reserved=Amount(tokens=300))
    await ledger.release("1", "1")
    await ledger.release("1", "1")
    assert (await ledger.reserve(reservation(1, DAILY))).is_granted
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing == Standing(slot=DAILY.slot, spent=Amount(), reserved=Amount())


async def test_a_reservation_that_nobody_releases_expires(ledger: Ledger, clock: Clock) -> None:
    await ledger.reserve(reservation(1, DAILY, tokens=1000))
    assert not (await ledger.reserve(reservation(2, DAILY))).is_granted
    clock.now += DAY
    for number in (1, 2):
        assert (await ledger.reserve(reservation(number, DAILY))).is_granted
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing.reserved == Amount(tokens=600)


async def test_who_asks_for_more_than_is_left_gets_the_rest_if_alone(ledger: Ledger) -> None:
    await ledger.spend(spending("t", Used(output=900), DAILY))
    assert (await ledger.reserve(reservation(1, DAILY))).is_granted
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing.reserved == Amount(tokens=100)
    assert not (await ledger.reserve(reservation(2, DAILY, tokens=1))).is_granted


async def test_a_spending_shrinks_its_own_reservation(ledger: Ledger) -> None:
    await ledger.reserve(reservation(1, DAILY, SHARED))
    await ledger.reserve(reservation(2, DAILY))
    await ledger.spend(spending("t", Used(input=100, output=50), DAILY, SHARED, message="1"))
    standing = await ledger.standing("1", [DAILY, SHARED])
    assert standing == [
        Standing(
            slot=DAILY.slot,
            spent=Amount(tokens=150),
            reserved=Amount(tokens=450),
            ends_at=NOW + DAY,
        ),
        Standing(
            slot=SHARED.slot,
            spent=Amount(tokens=150),
            reserved=Amount(tokens=150),
            ends_at=NOW + HOUR,
        ),
    ]


async def test_only_what_is_new_of_a_turn_counts(ledger: Ledger) -> None:
    first, more = Used(input=100, micro_usd=30), Used(input=100, output=20, micro_usd=50)
    told = [first, first, more, first, more]
    added = [(await ledger.spend(spending("t", used, DAILY))).added for used in told]
    assert added == [first, Used(), Used(output=20, micro_usd=20), Used(), Used()]
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing.spent == Amount(tokens=120, micro_usd=50)
    assert await ledger.usage("1", since=TODAY, until=TODAY) == [row(more)]


async def test_what_is_read_from_a_cache_is_shown_and_not_charged(ledger: Ledger) -> None:
    used = Used(input=1, output=2, cache_read=1000, cache_write=3)
    await ledger.spend(spending("t", used, DAILY))
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing.spent == Amount(tokens=6)
    assert await ledger.usage("1", since=TODAY, until=TODAY) == [row(used)]


async def test_crossings_are_told_once_and_the_end_as_long_as_it_lasts(
    ledger: Ledger, clock: Clock
) -> None:
    told = [
        await ledger.spend(spending("t", Used(output=output), DAILY, SHARED))
        for output in (799, 800, 900, 1000, 1000, 1200)
    ]
    spent = [(each.crossed, each.exhausted) for each in told]
    assert spent == [
        ((), ()),
        ((Crossing(slot=DAILY.slot, percent=80),), ()),
        ((), ()),
        ((Crossing(slot=DAILY.slot, percent=100),), (DAILY.slot,)),
        ((), (DAILY.slot,)),
        ((), (DAILY.slot,)),
    ]
    clock.now += DAY
    later = await ledger.spend(spending("u", Used(output=10), DAILY, SHARED))
    assert later == Spent(added=Used(output=10))


async def test_dollars_are_a_budget_of_their_own(ledger: Ledger) -> None:
    spent = await ledger.spend(spending("t", Used(output=1, micro_usd=500), DAILY))
    assert spent.exhausted == (DAILY.slot,)
    assert spent.crossed == tuple(Crossing(slot=DAILY.slot, percent=p) for p in (80, 100))


async def test_a_period_begins_with_its_first_spending(ledger: Ledger, clock: Clock) -> None:
    await ledger.spend(spending("t", Used(output=1000), DAILY))
    clock.now = NOW + DAY - 1
    answer = await ledger.reserve(reservation(1, DAILY))
    assert answer == Answer(is_granted=False, until=NOW + DAY, refused_by=DAILY.slot)
    clock.now = answer.until
    assert (await ledger.reserve(reservation(1, DAILY))).is_granted
    clock.now += HOUR
    await ledger.spend(spending("u", Used(output=5), DAILY))
    (standing,) = await ledger.standing("1", [DAILY])
    assert (standing.spent, standing.ends_at) == (Amount(tokens=5), NOW + 2 * DAY + HOUR)


async def test_a_clock_set_back_does_not_prolong_a_period(ledger: Ledger, clock: Clock) -> None:
    await ledger.spend(spending("t", Used(output=1000), DAILY))
    clock.now = NOW - 100 * DAY
    answer = await ledger.reserve(reservation(1, DAILY))
    assert not answer.is_granted
    assert answer.until <= clock.now + DAY + DAY / 64
    clock.now = answer.until
    assert (await ledger.reserve(reservation(1, DAILY))).is_granted


async def test_budgets_without_a_limit_hold_nobody_up_and_are_still_listed(ledger: Ledger) -> None:
    endless = Held(subject=ADA, budget=Budget(period_seconds=DAY))
    await ledger.reserve(reservation(1, endless, tokens=10**12))
    spent = await ledger.spend(spending("t", Used(output=10**12), endless))
    assert (spent.crossed, spent.exhausted) == ((), ())
    assert len(await ledger.standing("1", [endless])) == 1


async def test_a_hundred_turns_at_once_reserve_no_more_than_there_is(ledger: Ledger) -> None:
    answers = await asyncio.gather(
        *(ledger.reserve(reservation(n, DAILY, SHARED, tokens=90)) for n in range(100))
    )
    assert sum(answer.is_granted for answer in answers) == 11


async def test_many_who_note_one_turn_at_once_note_it_once(ledger: Ledger) -> None:
    used = Used(output=100)
    spent = await asyncio.gather(
        *(ledger.spend(spending("t", used, DAILY, SHARED)) for _ in range(30))
    )
    assert sorted(each.added.output for each in spent) == [0] * 29 + [100]
    (standing,) = await ledger.standing("1", [DAILY])
    assert standing.spent == Amount(tokens=100)


# ------------------------------------------------------------------------------ usage


async def test_usage_is_kept_by_day_person_bridge_and_model(ledger: Ledger, clock: Clock) -> None:
    one = Used(input=1, output=2, cache_read=3, cache_write=4, micro_usd=5)
    await ledger.spend(spending("a", one))
    await ledger.spend(spending("b", one))
    await ledger.spend(replace(spending("c", one), model="sonnet"))
    await ledger.spend(replace(spending("d", one), guild_id="2"))
    clock.now += DAY
    await ledger.spend(spending("a", one + one))
    await ledger.spend(spending("e", Used()))
    tomorrow = date(2026, 9, 22)
    rows = [row(one + one, turns=2), row(one, model="sonnet"), row(one, day=tomorrow)]
    assert await ledger.usage("1", since=TODAY, until=tomorrow) == rows
    assert await ledger.usage("1", since=tomorrow, until=tomorrow) == rows[2:]
    assert await ledger.usage("3", since=TODAY, until=tomorrow) == []


async def test_a_turn_of_nobody_counts_for_its_bridge(ledger: Ledger) -> None:
    used = Used(output=7)
    await ledger.spend(replace(spending("a", used), user_id="", guild_id=""))
    key = UsageKey(day=TODAY, guild_id="", user_id="", bridge=BRIDGE, model="opus")
    rows = await ledger.usage("", since=TODAY, until=TODAY)
    assert rows == [UsageRow(key=key, turns=1, used=used)]


async def test_names_of_models_may_hold_anything(ledger: Ledger) -> None:
    name = "a|b {c}\t“d”\n/e:f"
    await ledger.spend(replace(spending("a", Used(output=7)), model=name))
    assert await ledger.usage("1", since=TODAY, until=TODAY) == [row(Used(output=7), model=name)]


async def test_usage_is_forgotten_after_its_retention_and_no_sooner(
    ledger: Ledger, clock: Clock
) -> None:
    await ledger.spend(spending("a", Used(output=1)))
    clock.now += 90 * DAY
    await ledger.spend(spending("b", Used(output=2)))
    last = date(2026, 12, 20)
    await ledger.trim()
    assert len(await ledger.usage("1", since=TODAY, until=last)) == 2
    await ledger.trim(usage_days=89)
    rows = await ledger.usage("1", since=TODAY, until=last)
    assert rows == [row(Used(output=2), day=last)]


# -------------------------------------------------------------------- all of it at once


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 20))]
)
async def test_it_answers_as_the_ledger_in_memory_does(
    ledger: Ledger, clock: Clock, seed: int
) -> None:
    rng = random.Random(seed)
    other = MemoryLedger(clock=clock)
    takes = [USER_BUCKET, CHANNEL_BUCKET, MINUTE, LARGE]
    budgets = [DAILY, SHARED, Held(subject=ADA, budget=Budget(tokens=700, period_seconds=900))]
    for step in range(400):
        clock.now += rng.choice([0.0, 0.0, 0.1, rng.uniform(0, 5), rng.uniform(0, 60), 700])
        some = rng.sample(takes, rng.randint(0, 4))
        held = rng.sample(budgets, rng.randint(0, 3))
        message = str(rng.randrange(step + 1))
        used = Used(output=rng.randrange(400), cache_read=5, micro_usd=rng.randrange(99))
        match rng.randrange(5):
            case 0 | 1:
                one = Charge(guild_id="1", message_id=message, takes=tuple(some))
                assert await ledger.charge(one) == await other.charge(one)
            case 2:
                two = reservation(int(message), *held, tokens=rng.randrange(300))
                assert await ledger.reserve(two) == await other.reserve(two)
            case 3:
                three = spending(str(rng.randrange(10)), used, *held, message=message)
                assert await ledger.spend(three) == await other.spend(three)
            case _:
                await ledger.release("1", message)
                await other.release("1", message)
        assert await ledger.standing("1", budgets) == await other.standing("1", budgets)
    days = {"since": date(2026, 9, 1), "until": date(2026, 10, 30)}
    assert await ledger.usage("1", **days) == await other.usage("1", **days)
