"""A budget: its period, what is reserved of it, and who is warned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repobridge_gateway.limits.budget import (
    NOTHING,
    AccountState,
    Amount,
    Budget,
    current,
    reserve,
    spend,
)
from repobridge_gateway.limits.instants import micros, slack
from repobridge_gateway.limits.verdict import Verdict

NOW = micros(1_790_000_000.0)
HOUR = micros(3600.0)
DAILY = Budget(tokens=1000, micro_usd=2_000_000, period_seconds=24 * 3600)
AMOUNTS = st.builds(
    Amount,
    tokens=st.integers(min_value=0, max_value=700),
    micro_usd=st.integers(min_value=0, max_value=1_500_000),
)


def test_a_period_begins_with_the_first_spending_after_the_last() -> None:
    first, _ = spend(DAILY, AccountState(), Amount(tokens=10), now=NOW)
    same, _ = spend(DAILY, first, Amount(tokens=5), now=NOW + 24 * HOUR - 1)
    next_one, _ = spend(DAILY, same, Amount(tokens=6), now=NOW + 24 * HOUR)
    later, _ = spend(DAILY, same, Amount(tokens=7), now=NOW + 30 * HOUR)
    assert [first, same, next_one, later] == [
        AccountState(begun=NOW, spent=Amount(tokens=10)),
        AccountState(begun=NOW, spent=Amount(tokens=15)),
        AccountState(begun=NOW + 24 * HOUR, spent=Amount(tokens=6)),
        AccountState(begun=NOW + 30 * HOUR, spent=Amount(tokens=7)),
    ]


@pytest.mark.parametrize(
    ("before", "amount", "crossed"),
    [
        (Amount(tokens=0), Amount(tokens=799), ()),
        (Amount(tokens=799), Amount(tokens=1), (80,)),
        (Amount(tokens=800), Amount(tokens=199), ()),
        (Amount(tokens=800), Amount(tokens=200), (100,)),
        (Amount(tokens=10), Amount(tokens=5000), (80, 100)),
        (Amount(tokens=1000), Amount(tokens=5000), ()),
        (Amount(tokens=100), Amount(micro_usd=1_600_000), (80,)),
    ],
)
def test_each_threshold_is_told_once(
    before: Amount, amount: Amount, crossed: tuple[int, ...]
) -> None:
    state = AccountState(begun=NOW, spent=before)
    assert spend(DAILY, state, amount, now=NOW)[1] == crossed


@pytest.mark.parametrize(
    ("spent", "reserved", "asked", "granted"),
    [
        (NOTHING, NOTHING, Amount(tokens=300), Amount(tokens=300)),
        (Amount(tokens=400), Amount(tokens=300), Amount(tokens=300), Amount(tokens=300)),
        (Amount(tokens=400), Amount(tokens=301), Amount(tokens=300), None),
        (Amount(tokens=900), NOTHING, Amount(tokens=300), Amount(tokens=100)),
        (Amount(tokens=1000), NOTHING, Amount(tokens=300), None),
        (Amount(tokens=999), NOTHING, NOTHING, NOTHING),
        (Amount(tokens=1000), NOTHING, NOTHING, None),
        (NOTHING, Amount(tokens=1000), NOTHING, None),
        (Amount(micro_usd=2_000_000), NOTHING, Amount(tokens=1), None),
    ],
)
def test_a_turn_takes_what_it_may_need_or_alone_the_rest(
    spent: Amount, reserved: Amount, asked: Amount, granted: Amount | None
) -> None:
    state = AccountState(begun=NOW - HOUR, spent=spent)
    part, verdict = reserve(DAILY, state, asked, reserved=reserved, now=NOW)
    expected = (
        Verdict(is_granted=False, until=NOW + 23 * HOUR)
        if granted is None
        else Verdict(is_granted=True)
    )
    assert (part, verdict) == (granted or NOTHING, expected)


@given(st.lists(st.tuples(AMOUNTS, st.integers(min_value=0, max_value=10)), max_size=40))
def test_turns_that_spend_what_they_reserved_never_spend_more_than_the_budget(
    turns: list[tuple[Amount, int]],
) -> None:
    state, now, spent = AccountState(), NOW, list[tuple[int, Amount]]()
    for asked, hours in turns:
        now += hours * HOUR
        part, verdict = reserve(DAILY, state, asked, reserved=NOTHING, now=now)
        if verdict.is_granted:
            state, _ = spend(DAILY, state, part, now=now)
            spent.append((state.begun, part))
    for period in {begun for begun, _ in spent}:
        total = sum((part for begun, part in spent if begun == period), NOTHING)
        assert DAILY.percent(total) <= 100


@given(AMOUNTS, st.integers(min_value=0, max_value=NOW))
def test_a_clock_set_back_neither_forgets_nor_prolongs(amount: Amount, back: int) -> None:
    state, _ = spend(DAILY, AccountState(), amount, now=NOW)
    now = NOW - back
    account = current(DAILY, state, now=now)
    assert account.spent == amount
    assert account.begun <= now + slack(DAILY.period)


@given(AMOUNTS, AMOUNTS)
def test_amounts_are_never_below_nothing(one: Amount, other: Amount) -> None:
    assert one.less(other) + one.at_most(other) == one
    assert min(one.less(other).tokens, one.less(other).micro_usd) >= 0


def test_a_dimension_of_nought_is_no_limit() -> None:
    tokens = Budget(tokens=100, period_seconds=60)
    assert tokens.percent(Amount(tokens=50, micro_usd=10**12)) == 50
    assert Budget(period_seconds=60).is_unlimited


@pytest.mark.parametrize(
    ("tokens", "micro_usd", "seconds"),
    [(-1, 0, 60), (0, -1, 60), (1, 1, 0), (1, 1, -5), (1, 1, float("nan")), (1, 1, 1e-9)],
)
def test_what_is_no_budget_is_refused(tokens: int, micro_usd: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="is no budget"):
        Budget(tokens=tokens, micro_usd=micro_usd, period_seconds=seconds)
