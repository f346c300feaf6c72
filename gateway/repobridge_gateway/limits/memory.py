"""A ledger in memory, for one process: bounded, and gone with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from repobridge_gateway.limits import bookkeeping
from repobridge_gateway.limits.budget import NOTHING, AccountState, Amount
from repobridge_gateway.limits.expiring import ExpiringMap
from repobridge_gateway.limits.instants import micros
from repobridge_gateway.limits.ledger import (
    USAGE_DAYS,
    Answer,
    Charge,
    Held,
    Reservation,
    Spending,
    Spent,
    Standing,
    UsageKey,
    UsageRow,
    Used,
)
from repobridge_gateway.limits.takes import Numbers

SIZE = 200_000
"""Entries of each kind; beyond it those go first that would expire first."""
_USAGE_KEPT = timedelta(days=3660)
_EPOCH = date(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
Holds = tuple[tuple[str, Amount], ...]


class MemoryLedger:
    """A `Ledger`."""

    def __init__(self, *, clock: Callable[[], float] = time.time, size: int = SIZE) -> None:
        self._book = _Book(clock, size)

    @property
    def entries(self) -> int:
        """How many it holds."""
        return sum(len(each) for each in self._book.maps)

    @property
    def evicted(self) -> int:
        """How many were forgotten before their time, as there were too many."""
        return sum(each.evicted for each in self._book.maps)

    async def charge(self, charge: Charge) -> Answer:
        """Takes all that a message takes, or nothing."""
        return bookkeeping.charge(self._book.at_once(), charge)

    async def reserve(self, reservation: Reservation) -> Answer:
        """Holds a part of each budget for a turn, or none."""
        return bookkeeping.reserve(self._book.at_once(), reservation)

    async def spend(self, spending: Spending) -> Spent:
        """Notes what a turn has used, as far as it was not noted yet."""
        return bookkeeping.spend(self._book.at_once(), spending)

    async def release(self, guild_id: str, message_id: str) -> None:
        """Lets go of what is left of a reservation."""
        bookkeeping.release(self._book.at_once(), message_id)

    async def standing(self, guild_id: str, budgets: Sequence[Held]) -> Sequence[Standing]:
        """How far budgets are spent."""
        return bookkeeping.standing(self._book.at_once(), budgets)

    async def usage(self, guild_id: str, *, since: date, until: date) -> Sequence[UsageRow]:
        """What was used in a guild."""
        return self._book.at_once().usage(guild_id, since, until)

    async def trim(self, *, usage_days: int = USAGE_DAYS) -> int:
        """Forgets what is over."""
        return self._book.at_once().trim(usage_days)


class _Book:
    """A `Book`: each call runs at one instant, and nothing comes between."""

    def __init__(self, clock: Callable[[], float], size: int) -> None:
        self._clock = clock
        self.now = 0
        self._answers = ExpiringMap[str, Answer](size=size)
        self._numbers = ExpiringMap[str, Numbers](size=size)
        self._accounts = ExpiringMap[str, AccountState](size=size)
        self._reservations = ExpiringMap[str, Holds](size=size, forgotten=self._let_go)
        self._turns = ExpiringMap[tuple[str, str], Used](size=size)
        self._usage = ExpiringMap[UsageKey, tuple[int, Used]](size=size)
        self._holders: dict[str, set[str]] = {}
        self.maps = (
            *(self._answers, self._numbers, self._accounts),
            *(self._reservations, self._turns, self._usage),
        )

    def at_once(self) -> _Book:
        """The book at the present instant."""
        self.now = micros(self._clock())
        return self

    def answered(self, message_id: str) -> Answer | None:
        return self._answers.get(message_id, now=self.now)

    def put_answer(self, message_id: str, answer: Answer, *, expiry: int) -> None:
        self._answers.put(message_id, answer, expiry=expiry, now=self.now)

    def numbers(self, slot: str) -> Numbers:
        return self._numbers.get(slot, now=self.now) or ()

    def put_numbers(self, slot: str, numbers: Numbers, *, expiry: int) -> None:
        self._numbers.put(slot, numbers, expiry=expiry, now=self.now)

    def account(self, slot: str) -> AccountState:
        return self._accounts.get(slot, now=self.now) or AccountState()

    def put_account(self, slot: str, state: AccountState, *, expiry: int) -> None:
        self._accounts.put(slot, state, expiry=expiry, now=self.now)

    def is_reserved(self, message_id: str) -> bool:
        return self._reservations.get(message_id, now=self.now) is not None

    def put_reservation(
        self, message_id: str, holds: Sequence[tuple[str, Amount]], *, expiry: int
    ) -> None:
        self._reservations.put(message_id, tuple(holds), expiry=expiry, now=self.now)
        for slot, _ in holds:
            self._holders.setdefault(slot, set()).add(message_id)

    def _let_go(self, message_id: str, holds: Holds) -> None:
        for slot, _ in holds:
            holders = self._holders[slot]
            holders.discard(message_id)
            if not holders:
                del self._holders[slot]

    def holds(self, message_id: str) -> Sequence[tuple[str, Amount]]:
        return self._reservations.get(message_id, now=self.now) or ()

    def reserved(self, slot: str) -> Amount:
        holders = self._holders.get(slot, ())
        return sum((dict(self.holds(each)).get(slot, NOTHING) for each in holders), NOTHING)

    def turn(self, bridge: str, turn: str) -> Used | None:
        return self._turns.get((bridge, turn), now=self.now)

    def put_turn(self, bridge: str, turn: str, used: Used, *, expiry: int) -> None:
        self._turns.put((bridge, turn), used, expiry=expiry, now=self.now)

    def add_usage(self, key: UsageKey, *, turns: int, used: Used) -> None:
        before, already = self._usage.get(key, now=self.now) or (0, Used())
        # Settings say for how many days it is kept; this is the longest, and who is given up first.
        expiry = (key.day - _EPOCH + _USAGE_KEPT) // _MICROSECOND
        self._usage.put(key, (before + turns, already + used), expiry=expiry, now=self.now)

    def usage(self, guild_id: str, since: date, until: date) -> list[UsageRow]:
        """What was used in a guild."""
        return [
            UsageRow(key=key, turns=turns, used=used)
            for key, (turns, used) in sorted(self._usage.items(now=self.now))
            if key.guild_id == guild_id and since <= key.day <= until
        ]

    def trim(self, usage_days: int) -> int:
        """Forgets what is over."""
        oldest = bookkeeping.day_of(self.now) - timedelta(days=usage_days)
        old = [key for key, _ in self._usage.items(now=self.now) if key.day < oldest]
        for key in old:
            self._usage.drop(key)
        return len(old) + sum(each.sweep(now=self.now) for each in self.maps)
