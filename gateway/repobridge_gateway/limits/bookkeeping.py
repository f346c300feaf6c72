"""What a ledger does with its book, whatever the book is made of.

A ledger in memory and one in SQLite do exactly this; that in Valkey does the same in scripts, and
the same tests hold all three to it. Each function is to run as one transaction of its book.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Protocol

from repobridge_gateway.limits import budget, takes
from repobridge_gateway.limits.budget import NOTHING, AccountState, Amount
from repobridge_gateway.limits.instants import micros, seconds_of
from repobridge_gateway.limits.ledger import (
    CHARGE_KEPT_SECONDS,
    GRANTED,
    RESERVED_SECONDS,
    TURN_KEPT_SECONDS,
    Answer,
    Charge,
    Crossing,
    Held,
    Reservation,
    Spending,
    Spent,
    Standing,
    UsageKey,
    Used,
)
from repobridge_gateway.limits.takes import Numbers


class Book(Protocol):
    """What is written down; whatever has expired may be gone, and is not told of."""

    @property
    def now(self) -> int:
        """The time, in microseconds."""

    def answered(self, message_id: str) -> Answer | None:
        """What a message was answered."""

    def put_answer(self, message_id: str, answer: Answer, *, expiry: int) -> None:
        """Keeps that."""

    def numbers(self, slot: str) -> Numbers:
        """The state of a limit; none: it was not used lately."""

    def put_numbers(self, slot: str, numbers: Numbers, *, expiry: int) -> None:
        """Keeps that."""

    def account(self, slot: str) -> AccountState:
        """What is spent of a budget."""

    def put_account(self, slot: str, state: AccountState, *, expiry: int) -> None:
        """Keeps that."""

    def is_reserved(self, message_id: str) -> bool:
        """Whether a reservation was made, released or not."""

    def put_reservation(
        self, message_id: str, holds: Sequence[tuple[str, Amount]], *, expiry: int
    ) -> None:
        """Keeps what a reservation holds of each account; of none, if it is released."""

    def holds(self, message_id: str) -> Sequence[tuple[str, Amount]]:
        """What a reservation holds."""

    def reserved(self, slot: str) -> Amount:
        """What all reservations hold of an account."""

    def turn(self, bridge: str, turn: str) -> Used | None:
        """What is noted of a turn."""

    def put_turn(self, bridge: str, turn: str, used: Used, *, expiry: int) -> None:
        """Keeps that."""

    def add_usage(self, key: UsageKey, *, turns: int, used: Used) -> None:
        """Adds to what was used on a day."""


def charge(book: Book, charge: Charge) -> Answer:
    """Takes all that a message takes, or nothing."""
    known = book.answered(charge.message_id)
    if known is not None:
        return known
    limits = {take.slot: take.limit for take in charge.takes if not take.limit.is_unlimited}
    results = {
        slot: takes.take(limit, book.numbers(slot), now=book.now) for slot, limit in limits.items()
    }
    refusals = {s: r.verdict.until for s, r in results.items() if not r.verdict.is_granted}
    for slot, result in results.items():
        # Where one refuses, the others' room is not used; a state that was drawn back is kept.
        if not refusals or slot in refusals:
            book.put_numbers(slot, result.numbers, expiry=result.expiry)
    answer = _refused(refusals) if refusals else GRANTED
    book.put_answer(charge.message_id, answer, expiry=book.now + micros(CHARGE_KEPT_SECONDS))
    return answer


def reserve(book: Book, reservation: Reservation) -> Answer:
    """Holds a part of each budget for a turn, or none."""
    if book.is_reserved(reservation.message_id):
        return GRANTED
    holds, refusals = [], {}
    for held in _limited(reservation.budgets):
        account = _current(book, held)
        part, verdict = budget.reserve(
            held.budget,
            account,
            reservation.amount,
            reserved=book.reserved(held.slot),
            now=book.now,
        )
        holds.append((held.slot, part))
        if not verdict.is_granted:
            refusals[held.slot] = verdict.until
    if refusals:
        return _refused(refusals)
    expiry = book.now + micros(RESERVED_SECONDS)
    book.put_reservation(reservation.message_id, holds, expiry=expiry)
    return GRANTED


def release(book: Book, message_id: str) -> None:
    """Lets go of a reservation; it stays known, so that it isn't made again."""
    if book.is_reserved(message_id):
        expiry = book.now + micros(RESERVED_SECONDS)
        book.put_reservation(message_id, (), expiry=expiry)


def spend(book: Book, spending: Spending) -> Spent:
    """Notes what a turn has used, as far as it was not noted yet."""
    noted = book.turn(spending.bridge, spending.turn)
    added = spending.used.beyond(noted or Used())
    if noted is None or added != Used():
        used = (noted or Used()) + added
        expiry = book.now + micros(TURN_KEPT_SECONDS)
        book.put_turn(spending.bridge, spending.turn, used, expiry=expiry)
        book.add_usage(usage_key(spending, now=book.now), turns=int(noted is None), used=added)
        _shrink(book, spending.message_id, added.amount)
    crossed: list[Crossing] = []
    exhausted: list[str] = []
    for held in _limited(spending.budgets):
        spent, percents = _post(book, held, added.amount)
        crossed += (Crossing(slot=held.slot, percent=percent) for percent in percents)
        if held.budget.is_spent(spent):
            exhausted.append(held.slot)
    return Spent(added=added, crossed=tuple(crossed), exhausted=tuple(exhausted))


def standing(book: Book, budgets: Sequence[Held]) -> Sequence[Standing]:
    """How far budgets are spent."""
    return [_standing(book, held) for held in budgets]


def usage_key(spending: Spending, *, now: int) -> UsageKey:
    """Where a spending is written down."""
    return UsageKey(
        day=day_of(now),
        guild_id=spending.guild_id,
        user_id=spending.user_id,
        bridge=spending.bridge,
        model=spending.model,
    )


def day_of(now: int) -> date:
    """The day by UTC."""
    return datetime.fromtimestamp(seconds_of(now), UTC).date()


def _limited(budgets: Sequence[Held]) -> list[Held]:
    return [held for held in budgets if not held.budget.is_unlimited]


def _refused(refusals: dict[str, int]) -> Answer:
    slot = max(refusals, key=refusals.__getitem__)
    return Answer(is_granted=False, until=seconds_of(refusals[slot]), refused_by=slot)


def _current(book: Book, held: Held) -> AccountState:
    """An account in its period; if that was drawn back, it is kept so."""
    kept = book.account(held.slot)
    account = budget.current(held.budget, kept, now=book.now)
    if account.begun and account != kept:
        book.put_account(held.slot, account, expiry=account.begun + held.budget.period)
    return account


def _post(book: Book, held: Held, amount: Amount) -> tuple[Amount, tuple[int, ...]]:
    account = _current(book, held)
    if amount == NOTHING:
        return account.spent, ()
    account, percents = budget.spend(held.budget, account, amount, now=book.now)
    book.put_account(held.slot, account, expiry=account.begun + held.budget.period)
    return account.spent, percents


def _shrink(book: Book, message_id: str, amount: Amount) -> None:
    holds = book.holds(message_id) if message_id else ()
    if holds:
        left = [(slot, hold.less(amount)) for slot, hold in holds]
        book.put_reservation(message_id, left, expiry=book.now + micros(RESERVED_SECONDS))


def _standing(book: Book, held: Held) -> Standing:
    account = budget.current(held.budget, book.account(held.slot), now=book.now)
    return Standing(
        slot=held.slot,
        spent=account.spent,
        reserved=book.reserved(held.slot),
        ends_at=seconds_of(account.begun + held.budget.period) if account.begun else 0.0,
    )
