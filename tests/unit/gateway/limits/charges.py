"""Charges, turns and budgets as tests of ledgers make them, and a clock that stands."""

from __future__ import annotations

from datetime import date

from repobridge_gateway.limits.bucket import Bucket
from repobridge_gateway.limits.budget import Amount, Budget
from repobridge_gateway.limits.ledger import (
    Charge,
    Held,
    Reservation,
    Spending,
    Take,
    UsageKey,
    UsageRow,
    Used,
)
from repobridge_gateway.limits.window import Window

NOW = 1_790_000_000.25
HOUR, DAY = 3600.0, 24 * 3600.0
TODAY = date(2026, 9, 21)
ADA, BOB = "user:1:5", "user:1:6"
BRIDGE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
USER_BUCKET = Take(subject=ADA, limit=Bucket(per_second=0.5, burst=3))
CHANNEL_BUCKET = Take(subject=f"channel:{BRIDGE}", limit=Bucket(per_second=2, burst=10))
MINUTE = Take(subject=ADA, limit=Window(seconds=60, requests=4))
LARGE = Take(subject=ADA, limit=Window(seconds=3600, requests=100))
DAILY = Held(subject=ADA, budget=Budget(tokens=1000, micro_usd=500, period_seconds=DAY))
SHARED = Held(subject="guild:1", budget=Budget(tokens=5000, period_seconds=HOUR))


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def charge(number: int, *takes: Take) -> Charge:
    return Charge(guild_id="1", message_id=str(number), takes=takes)


def reservation(number: int, *budgets: Held, tokens: int = 300) -> Reservation:
    amount = Amount(tokens=tokens)
    return Reservation(guild_id="1", message_id=str(number), budgets=budgets, amount=amount)


def spending(turn: str, used: Used, *budgets: Held, message: str = "") -> Spending:
    return Spending(
        guild_id="1",
        bridge=BRIDGE,
        turn=turn,
        user_id="5",
        model="opus",
        used=used,
        budgets=budgets,
        message_id=message,
    )


def row(used: Used, *, turns: int = 1, day: date = TODAY, model: str = "opus") -> UsageRow:
    key = UsageKey(day=day, guild_id="1", user_id="5", bridge=BRIDGE, model=model)
    return UsageRow(key=key, turns=turns, used=used)
