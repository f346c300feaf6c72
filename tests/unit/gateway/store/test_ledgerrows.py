"""The ledger's rows: part of the store's commits, and forgotten when they say nothing any more."""

from __future__ import annotations

import pytest

from repobridge_gateway.limits import bookkeeping
from repobridge_gateway.limits.budget import Amount
from repobridge_gateway.limits.ledger import Spent, Used
from repobridge_gateway.store import ledgerrows
from repobridge_gateway.store.database import Transaction
from repobridge_gateway.store.ledgerrows import book_of
from repobridge_gateway.store.ledgertables import EXPIRING
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.limits.charges import (
    DAILY,
    DAY,
    USER_BUCKET,
    charge,
    reservation,
    spending,
)
from tests.unit.gateway.store.chats import Clock

SPENDING = spending("t", Used(output=10), DAILY)


class Broken(Exception):
    """Something else of the act failed."""


async def test_a_spending_is_noted_with_the_act_that_it_is_part_of_or_not_at_all(
    store: SqliteStore,
) -> None:
    def act(transaction: Transaction, *, is_broken: bool) -> Spent:
        spent = bookkeeping.spend(book_of(transaction), SPENDING)
        if is_broken:
            raise Broken
        return spent

    database = store.ledger._database
    with pytest.raises(Broken):
        await database.write(lambda transaction: act(transaction, is_broken=True))
    spent = await database.write(lambda transaction: act(transaction, is_broken=False))
    assert spent == Spent(added=Used(output=10))
    assert (await store.ledger.spend(SPENDING)).added == Used()
    (standing,) = await store.ledger.standing("1", [DAILY])
    assert standing.spent == Amount(tokens=10)


async def test_rows_are_forgotten_when_they_say_nothing_any_more(
    store: SqliteStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgerrows, "_STEP_ROWS", 3)
    for number in range(10):
        await store.ledger.charge(charge(number, USER_BUCKET))
    await store.ledger.reserve(reservation(1, DAILY))
    await store.ledger.spend(SPENDING)
    assert await store.ledger.trim() == 0

    clock.now += 2 * DAY
    before = store.commits
    # The answers, the bucket, the account, the reservation with what it held; not yet the turn.
    assert await store.ledger.trim() == 10 + 1 + 1 + 2
    assert store.commits - before > 10 / 3

    clock.now += 90 * DAY
    assert await store.ledger.trim() == 2  # the turn, and its usage
    left = await store.ledger._database.read(
        lambda connection: {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in (*EXPIRING, "usage")
        }
    )
    assert set(left.values()) == {0}
