"""Which limits hold for whom: purely, from what a bridge, its guild and the settings say.

What a bridge says goes before its guild's word, and that before the settings' for all guilds, field
by field. Only the guild's budget is nothing that a bridge could raise: what it says of it holds
besides. What is said of the roles of somebody goes before all of these, as far as it is about that
person; of several roles the most generous word counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from repobridge import durations
from repobridge.crd_access import Bucket as BucketSpec
from repobridge.crd_access import Budget as BudgetSpec
from repobridge.crd_access import BudgetScope, Limits, Rate
from repobridge.crd_access import Window as WindowSpec
from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.budget import Budget
from repobridge_gateway.limits.ledger import Held, Take
from repobridge_gateway.limits.window import Window

DEFAULT = Limits(
    rate=Rate(user=BucketSpec(per_second=0.5, burst=3), channel=BucketSpec(per_second=2, burst=10))
)
"""What holds where nobody says anything."""
_MICRO_USD = 1_000_000
_ENDLESS = float("inf")
T = TypeVar("T")
Key = float | tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of somebody by one rule of access that fits them."""

    role_id: str = ""
    """Of the role that it is about; empty: it is about the person."""
    limits: Limits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks for something, and where."""

    guild_id: str
    bridge: str
    """Its UID."""
    user_id: str = ""
    """Empty: somebody at a terminal, of whom no id is known; only shared limits hold."""
    said: tuple[Said, ...] = ()
    """One for each rule that fits them."""
    has_unlimited_rate: bool = False
    has_unlimited_tokens: bool = False

    @property
    def subject(self) -> str:
        """Whose limits of their own they are."""
        return f"user:{self.guild_id}:{self.user_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """What is said of everybody."""

    bridge: Limits | None = None
    guild: Limits | None = None
    every: Limits | None = None
    """For all guilds; what it leaves open is as DEFAULT has it."""

    @property
    def in_order(self) -> tuple[Limits, ...]:
        """The most special first."""
        return tuple(each for each in (self.bridge, self.guild, self.every, DEFAULT) if each)


def takes_for(asker: Asker, levels: Levels) -> tuple[Take, ...]:
    """What a message of theirs is held against."""
    rates = [limits.rate for limits in levels.in_order if limits.rate is not None]
    if not _field(rates, "enabled", True):
        return ()
    takes: list[Take] = []
    if asker.user_id and not asker.has_unlimited_rate:
        takes += _own_takes(asker, rates)
    if channel := _field(rates, "channel", None):
        takes.append(Take(subject=f"channel:{asker.bridge}", limit=_bucket(channel)))
    return tuple(take for take in takes if not take.limit.is_unlimited)


def _own_takes(asker: Asker, rates: Sequence[Rate]) -> Iterable[Take]:
    said = [each.limits.rate for each in asker.said if each.limits and each.limits.rate]
    if not all(rate.enabled for rate in said):
        return
    buckets = [rate.user for rate in said if rate.user]
    bucket = _most_generous(buckets, lambda one: (one.per_second or _ENDLESS, one.burst))
    if bucket := bucket or _field(rates, "user", None):
        yield Take(subject=asker.subject, limit=_bucket(bucket))
    lists = [rate.windows for rate in said if rate.windows]
    windows = _most_generous(lists, lambda some: min(map(_pace, some)))
    fewest: dict[float, int] = {}
    for window in windows or _field(rates, "windows", ()):
        seconds = _seconds(window.per)
        fewest[seconds] = _least(window.requests, fewest.get(seconds, 0))
    for seconds, requests in fewest.items():
        yield Take(subject=asker.subject, limit=Window(seconds=seconds, requests=requests))


def budgets_for(asker: Asker, levels: Levels) -> tuple[Held, ...]:
    """What their turns are held against; two budgets of one account are one, the tighter."""
    found: list[tuple[str, BudgetSpec]] = []
    if asker.user_id and not asker.has_unlimited_tokens:
        found += ((asker.subject, each) for each in _own_budgets(asker, levels))
        found += _pot(asker, levels)
    for scope, subject in (
        (BudgetScope.BRIDGE, f"bridge:{asker.bridge}"),
        (BudgetScope.GUILD, f"guild:{asker.guild_id}"),
    ):
        found += ((subject, each) for each in _shared(asker, levels, scope))
    accounts: dict[str, Held] = {}
    for subject, spec in found:
        held = Held(subject=subject, budget=_budget(spec))
        other = accounts.get(held.slot)
        accounts[held.slot] = _tighter(held, other) if other else held
    return tuple(accounts.values())


def _own_budgets(asker: Asker, levels: Levels) -> Sequence[BudgetSpec]:
    return _said_of(asker, BudgetScope.USER) or _first(levels.in_order, BudgetScope.USER)


def _pot(asker: Asker, levels: Levels) -> list[tuple[str, BudgetSpec]]:
    """The budgets of one of their roles: that with the most generous, or else the oldest role."""
    common = _first(levels.in_order, BudgetScope.ROLE)
    roles = sorted(
        (each for each in asker.said if each.role_id),
        key=lambda each: (len(each.role_id), each.role_id),
    )
    pots = [
        [
            (f"role:{asker.guild_id}:{role.role_id}", spec)
            for spec in _scoped(role.limits, BudgetScope.ROLE) or common
        ]
        for role in roles
    ]
    filled = [pot for pot in pots if pot]
    return _most_generous(filled, lambda pot: _generosity([spec for _, spec in pot])) or []


def _shared(asker: Asker, levels: Levels, scope: BudgetScope) -> Sequence[BudgetSpec]:
    """What is said of a shared budget; roles may have their own measure of it besides."""
    besides = _said_of(asker, scope)
    if scope is BudgetScope.GUILD:
        besides = (*_scoped(levels.bridge, scope), *besides)
        return (*_first(levels.in_order[bool(levels.bridge) :], scope), *besides)
    return (*_first(levels.in_order, scope), *besides)


def _said_of(asker: Asker, scope: BudgetScope) -> tuple[BudgetSpec, ...]:
    lists = [some for each in asker.said if (some := _scoped(each.limits, scope))]
    return _most_generous(lists, _generosity) or ()


def _scoped(limits: Limits | None, scope: BudgetScope) -> tuple[BudgetSpec, ...]:
    return tuple(each for each in limits.budgets if each.per is scope) if limits else ()


def _first(levels: Iterable[Limits], scope: BudgetScope) -> tuple[BudgetSpec, ...]:
    return next((some for each in levels if (some := _scoped(each, scope))), ())


def _field(rates: Iterable[Rate], name: str, default: T) -> T:
    """What the first says that says something of it."""
    said = (getattr(rate, name) for rate in rates if name in rate.model_fields_set)
    return next((value for value in said if value is not None), default)


def _most_generous(candidates: Sequence[T], by: Callable[[T], Key]) -> T | None:
    return max(candidates, key=by, default=None)


def _generosity(budgets: Iterable[BudgetSpec]) -> tuple[float, float]:
    """Of budgets that all hold the tightest counts: by dollars a second, then by tokens."""
    return min(
        (
            _ENDLESS if each.usd is None else each.usd / _seconds(each.period),
            _ENDLESS if each.tokens is None else each.tokens / _seconds(each.period),
        )
        for each in budgets
    )


def _pace(window: WindowSpec) -> float:
    return (window.requests or _ENDLESS) / _seconds(window.per)


def _seconds(duration: str) -> float:
    return durations.seconds(durations.parse(duration))


def _bucket(spec: BucketSpec) -> Bucket:
    return Bucket(per_second=spec.per_second, burst=spec.burst)


def _budget(spec: BudgetSpec) -> Budget:
    micro_usd = max(1, round(spec.usd * _MICRO_USD)) if spec.usd is not None else 0
    return Budget(
        tokens=spec.tokens or 0, micro_usd=micro_usd, period_seconds=_seconds(spec.period)
    )


def _tighter(one: Held, other: Held) -> Held:
    budget = Budget(
        tokens=_least(one.budget.tokens, other.budget.tokens),
        micro_usd=_least(one.budget.micro_usd, other.budget.micro_usd),
        period_seconds=one.budget.period_seconds,
    )
    return Held(subject=one.subject, budget=budget)


def _least(one: int, other: int) -> int:
    """The smaller limit, where 0 is none."""
    return min(filter(None, (one, other)), default=0)
