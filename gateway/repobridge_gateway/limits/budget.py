"""A budget: so many tokens and so much money in a period, which begins with the first spending.

What is spent counts from when it is noted. What is reserved for turns that run is kept apart, so
that turns that begin together can't each spend the same rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from repobridge_gateway.limits.instants import LONGEST, micros, slack
from repobridge_gateway.limits.verdict import Verdict

WARNING_PERCENT = 80
"""Whoever has spent so much of a budget is warned."""
THRESHOLDS = (WARNING_PERCENT, 100)
"""Percents of which a crossing is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Tokens, and millionths of a US dollar."""

    tokens: int = 0
    micro_usd: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(tokens=self.tokens + other.tokens, micro_usd=self.micro_usd + other.micro_usd)

    def less(self, other: Amount) -> Amount:
        """What is left of it, never below nothing."""
        return Amount(
            tokens=max(0, self.tokens - other.tokens),
            micro_usd=max(0, self.micro_usd - other.micro_usd),
        )

    def at_most(self, other: Amount) -> Amount:
        """The smaller of both, each by itself."""
        return self.less(self.less(other))


NOTHING = Amount()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much may be spent in a period; 0 in either means no limit."""

    tokens: int = 0
    micro_usd: int = 0
    period_seconds: float

    def __post_init__(self) -> None:
        if min(self.tokens, self.micro_usd) < 0 or not 0 < self.period_seconds < float("inf"):
            raise ValueError(f"{self} is no budget: it needs a period, and no number below 0")
        if not self.period:
            raise ValueError(f"{self} is no budget: its period is too short")

    @property
    def is_unlimited(self) -> bool:
        """It holds nobody up."""
        return not self.tokens and not self.micro_usd

    @property
    def period(self) -> int:
        """In microseconds."""
        return LONGEST if self.period_seconds >= LONGEST / 1e6 else micros(self.period_seconds)

    def percent(self, spent: Amount) -> int:
        """How much of it is spent, of the dimension of which most is; rounded down."""
        return max(
            spent.tokens * 100 // self.tokens if self.tokens else 0,
            spent.micro_usd * 100 // self.micro_usd if self.micro_usd else 0,
        )

    def is_spent(self, spent: Amount) -> bool:
        """Whether nothing is left: a turn that runs on it is to be interrupted."""
        return self.percent(spent) >= 100

    def has_room(self, amount: Amount, *, used: Amount) -> bool:
        """Whether an amount fits beside what is used."""
        return _fits(self.tokens, amount.tokens, used.tokens) and _fits(
            self.micro_usd, amount.micro_usd, used.micro_usd
        )


def _fits(limit: int, amount: int, used: int) -> bool:
    # An amount of nothing needs room too: a turn whose price nobody knows is going to have one.
    return not limit or used + max(amount, 1) <= limit


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What was spent in a period."""

    begun: int = 0
    """When its first spending was; 0 before it."""
    spent: Amount = NOTHING


def current(budget: Budget, state: AccountState, *, now: int) -> AccountState:
    """The account in the period that runs: a new one if the old is over.

    A period that seems to begin in the future begins now: its end is never further away than its
    length. The new state is to be kept.
    """
    if not state.begun or state.begun + budget.period <= now:
        return AccountState()
    return replace(state, begun=min(state.begun, now + slack(budget.period)))


def spend(
    budget: Budget, state: AccountState, amount: Amount, *, now: int
) -> tuple[AccountState, tuple[int, ...]]:
    """Notes a spending, whatever the limit; and which percents it crossed."""
    before = current(budget, state, now=now)
    after = AccountState(begun=before.begun or now, spent=before.spent + amount)
    old, new = budget.percent(before.spent), budget.percent(after.spent)
    return after, tuple(percent for percent in THRESHOLDS if old < percent <= new)


def reserve(
    budget: Budget, state: AccountState, amount: Amount, *, reserved: Amount, now: int
) -> tuple[Amount, Verdict]:
    """What a turn that may need an amount takes of the budget, beside what others have reserved.

    Where nothing is reserved it gets the rest, however small: it is interrupted when that is spent,
    and nobody is kept from a rest that is smaller than a guess. A refusal says when the period
    ends, which is now where nothing is spent; what is only reserved may be released before that.
    """
    account = current(budget, state, now=now)
    used = account.spent + reserved
    if budget.has_room(amount, used=used):
        return amount, Verdict(is_granted=True)
    if reserved == NOTHING and not budget.is_spent(used):
        rest = Amount(tokens=budget.tokens, micro_usd=budget.micro_usd).less(used)
        return amount.at_most(rest), Verdict(is_granted=True)
    until = account.begun + budget.period if account.begun else now
    return NOTHING, Verdict(is_granted=False, until=until)
