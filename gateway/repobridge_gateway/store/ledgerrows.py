"""The ledger of limits in SQLite: what was taken, reserved, spent and used.

`SqliteBook` is for acts of the store too, so that a spending is noted in the commit that moves a
log's cursor over it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar

from repobridge_gateway.limits import bookkeeping
from repobridge_gateway.limits.bookkeeping import day_of
from repobridge_gateway.limits.budget import AccountState, Amount
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
from repobridge_gateway.store.database import Database, Transaction
from repobridge_gateway.store.ledgertables import EXPIRING

_STEP_ROWS = 500
T = TypeVar("T")


class SqliteLedger:
    """A `Ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def charge(self, charge: Charge) -> Answer:
        """Takes all that a message takes, or nothing."""
        return await self._write(lambda book: bookkeeping.charge(book, charge))

    async def reserve(self, reservation: Reservation) -> Answer:
        """Holds a part of each budget for a turn, or none."""
        return await self._write(lambda book: bookkeeping.reserve(book, reservation))

    async def spend(self, spending: Spending) -> Spent:
        """Notes what a turn has used, as far as it was not noted yet."""
        return await self._write(lambda book: bookkeeping.spend(book, spending))

    async def release(self, guild_id: str, message_id: str) -> None:
        """Lets go of what is left of a reservation."""
        await self._write(lambda book: bookkeeping.release(book, message_id))

    async def standing(self, guild_id: str, budgets: Sequence[Held]) -> Sequence[Standing]:
        """How far budgets are spent, in their order."""
        now = micros(self._database.now())
        return await self._database.read(
            lambda connection: bookkeeping.standing(SqliteBook(connection, now=now), budgets)
        )

    async def usage(self, guild_id: str, *, since: date, until: date) -> Sequence[UsageRow]:
        """What was used in a guild from one day to another."""
        return await self._database.read(
            lambda connection: [
                _usage_row(row)
                for row in connection.execute(
                    "SELECT day, guild, user_id, bridge, model, turns, input, output, cache_read,"
                    " cache_write, micro_usd FROM usage WHERE guild = ? AND day BETWEEN ? AND ?"
                    " ORDER BY day, guild, user_id, bridge, model",
                    (guild_id, since.isoformat(), until.isoformat()),
                )
            ]
        )

    async def trim(self, *, usage_days: int = USAGE_DAYS) -> int:
        """Forgets what is over, in small steps."""
        now = micros(self._database.now())
        oldest = (day_of(now) - timedelta(days=usage_days)).isoformat()
        conditions: list[tuple[str, str, object]] = [
            *((table, "expiry <= ?", now) for table in EXPIRING),
            ("usage", "day < ?", oldest),
        ]
        forgotten = 0
        for table, is_over, bound in conditions:
            step = partial(_forget_some, table=table, is_over=is_over, bound=bound)
            while removed := await self._database.write(step):
                forgotten += removed
        return forgotten

    async def _write(self, act: Callable[[SqliteBook], T]) -> T:
        return await self._database.write(lambda transaction: act(book_of(transaction)))


def book_of(transaction: Transaction) -> SqliteBook:
    """The ledger as an act of the store sees it."""
    return SqliteBook(transaction.connection, now=micros(transaction.now))


class SqliteBook:
    """A `Book` at one instant, within a transaction."""

    def __init__(self, connection: sqlite3.Connection, *, now: int) -> None:
        self._connection = connection
        self.now = now

    def answered(self, message_id: str) -> Answer | None:
        """What a message was answered."""
        row = self._one(
            "SELECT is_granted, until, refused_by FROM charges WHERE message_id = ? AND expiry > ?",
            message_id,
            self.now,
        )
        if row is None:
            return None
        return Answer(is_granted=bool(row[0]), until=row[1], refused_by=row[2])

    def put_answer(self, message_id: str, answer: Answer, *, expiry: int) -> None:
        """Keeps that."""
        values = message_id, int(answer.is_granted), answer.until, answer.refused_by, expiry
        self._put("charges", values)

    def numbers(self, slot: str) -> Numbers:
        """The state of a limit."""
        row = self._one(
            "SELECT numbers FROM limit_states WHERE slot = ? AND expiry > ?", slot, self.now
        )
        return tuple(map(int, row[0].split())) if row else ()

    def put_numbers(self, slot: str, numbers: Numbers, *, expiry: int) -> None:
        """Keeps that."""
        self._put("limit_states", (slot, " ".join(map(str, numbers)), expiry))

    def account(self, slot: str) -> AccountState:
        """What is spent of a budget."""
        row = self._one(
            "SELECT begun, tokens, micro_usd FROM accounts WHERE slot = ? AND expiry > ?",
            slot,
            self.now,
        )
        if row is None:
            return AccountState()
        return AccountState(begun=row[0], spent=Amount(tokens=row[1], micro_usd=row[2]))

    def put_account(self, slot: str, state: AccountState, *, expiry: int) -> None:
        """Keeps that."""
        values = slot, state.begun, state.spent.tokens, state.spent.micro_usd, expiry
        self._put("accounts", values)

    def is_reserved(self, message_id: str) -> bool:
        """Whether a reservation was made."""
        found = self._one(
            "SELECT 1 FROM reservations WHERE message_id = ? AND expiry > ?", message_id, self.now
        )
        return found is not None

    def put_reservation(
        self, message_id: str, holds: Sequence[tuple[str, Amount]], *, expiry: int
    ) -> None:
        """Keeps what a reservation holds of each account."""
        self._put("reservations", (message_id, expiry))
        self._connection.execute("DELETE FROM holds WHERE message_id = ?", (message_id,))
        for slot, amount in holds:
            self._put("holds", (message_id, slot, amount.tokens, amount.micro_usd, expiry))

    def holds(self, message_id: str) -> Sequence[tuple[str, Amount]]:
        """What a reservation holds."""
        rows = self._connection.execute(
            "SELECT slot, tokens, micro_usd FROM holds WHERE message_id = ? AND expiry > ?",
            (message_id, self.now),
        )
        return [(slot, Amount(tokens=tokens, micro_usd=usd)) for slot, tokens, usd in rows]

    def reserved(self, slot: str) -> Amount:
        """What all reservations hold of an account."""
        row = self._one(
            "SELECT coalesce(sum(tokens), 0), coalesce(sum(micro_usd), 0) FROM holds"
            " WHERE slot = ? AND expiry > ?",
            slot,
            self.now,
        )
        assert row is not None
        return Amount(tokens=row[0], micro_usd=row[1])

    def turn(self, bridge: str, turn: str) -> Used | None:
        """What is noted of a turn."""
        row = self._one(
            "SELECT input, output, cache_read, cache_write, micro_usd FROM turns"
            " WHERE bridge = ? AND turn = ? AND expiry > ?",
            bridge,
            turn,
            self.now,
        )
        return None if row is None else _used(row)

    def put_turn(self, bridge: str, turn: str, used: Used, *, expiry: int) -> None:
        """Keeps that."""
        self._put("turns", (bridge, turn, *_columns(used), expiry))

    def add_usage(self, key: UsageKey, *, turns: int, used: Used) -> None:
        """Adds to what was used on a day."""
        self._connection.execute(
            "INSERT INTO usage (guild, day, user_id, bridge, model, turns, input, output,"
            " cache_read, cache_write, micro_usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET"
            " turns = turns + excluded.turns, input = input + excluded.input,"
            " output = output + excluded.output, cache_read = cache_read + excluded.cache_read,"
            " cache_write = cache_write + excluded.cache_write,"
            " micro_usd = micro_usd + excluded.micro_usd",
            (
                *(key.guild_id, key.day.isoformat(), key.user_id, key.bridge, key.model),
                *(turns, *_columns(used)),
            ),
        )

    def _one(self, sql: str, *parameters: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def _put(self, table: str, values: Sequence[object]) -> None:
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)


def _columns(used: Used) -> tuple[int, ...]:
    return used.input, used.output, used.cache_read, used.cache_write, used.micro_usd


def _used(columns: Sequence[int]) -> Used:
    return Used(
        input=columns[0],
        output=columns[1],
        cache_read=columns[2],
        cache_write=columns[3],
        micro_usd=columns[4],
    )


def _usage_row(row: Sequence[Any]) -> UsageRow:
    key = UsageKey(
        day=date.fromisoformat(row[0]),
        guild_id=row[1],
        user_id=row[2],
        bridge=row[3],
        model=row[4],
    )
    return UsageRow(key=key, turns=row[5], used=_used(row[6:]))


def _forget_some(transaction: Transaction, *, table: str, is_over: str, bound: object) -> int:
    return transaction.execute(
        f"DELETE FROM {table} WHERE rowid IN"
        f" (SELECT rowid FROM {table} WHERE {is_over} LIMIT {_STEP_ROWS})",
        (bound,),
    ).rowcount
