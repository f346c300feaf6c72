"""What leaves the journal: old events, ids of old messages, and the disk pages they held."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from repobridge.session.events import MessageState
from repobridge_runner.journal import Journal, Transaction

_STEP_EVENTS = 500
_STEP_BYTES = 4 << 20
_STEP_PAGES = 1000
_FINAL_STATES = (MessageState.ENDED, MessageState.WITHDRAWN, MessageState.REJECTED)


@dataclass(frozen=True, slots=True)
class Step:
    """What one act of trimming did: acts are short, so that appends pass between them."""

    trimmed: int
    is_done: bool
    is_over_size: bool


def trimmed_sequence(connection: sqlite3.Connection) -> int:
    """The highest sequence that was ever removed."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'trimmed_sequence'").fetchone()
    return int(row[0]) if row else 0


async def remove_some(journal: Journal, *, allowed: int, cutoff: float, max_bytes: int) -> Step:
    """Removes some of the oldest events up to `allowed` that are too old or too many."""

    def act(transaction: Transaction) -> Step:
        excess = _live_bytes(transaction) - max_bytes
        rows = transaction.execute(
            "SELECT sequence, at, size FROM events WHERE sequence <= ? ORDER BY sequence LIMIT ?",
            (allowed, _STEP_EVENTS),
        )
        last, freed = None, 0
        for sequence, at, size in rows:
            if freed >= _STEP_BYTES or (at >= cutoff and freed >= excess):
                break
            last, freed = sequence, freed + size
        if last is None:
            return Step(0, is_done=True, is_over_size=excess > 0)
        _remove(transaction, last)
        return Step(last, is_done=False, is_over_size=False)

    return await journal.write(act, essential=True)


async def forget_ended(journal: Journal, cutoff: float) -> None:
    """Deletes messages and requests that were over before `cutoff`."""

    def act(transaction: Transaction) -> None:
        transaction.execute(
            "DELETE FROM messages WHERE changed_at < ? AND state IN (?, ?, ?)",
            (cutoff, *(state.name for state in _FINAL_STATES)),
        )
        transaction.execute("DELETE FROM requests WHERE resolved_at < ?", (cutoff,))

    await journal.write(act, essential=True)


async def return_free_pages(journal: Journal) -> None:
    """Gives the free pages of the database back to the file system, some at a time."""
    while await journal.write(_vacuum_some, essential=True):
        pass


def _vacuum_some(transaction: Transaction) -> bool:
    before = _number(transaction, "PRAGMA freelist_count")
    transaction.execute(f"PRAGMA incremental_vacuum({_STEP_PAGES})").fetchall()
    return 0 < _number(transaction, "PRAGMA freelist_count") < before


def _remove(transaction: Transaction, last: int) -> None:
    transaction.execute("DELETE FROM events WHERE sequence <= ?", (last,))
    # The counter outlives the events: sequences never begin again.
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('trimmed_sequence', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (str(last),),
    )


def _live_bytes(transaction: Transaction) -> int:
    pages = _number(transaction, "PRAGMA page_count")
    return (pages - _number(transaction, "PRAGMA freelist_count")) * _number(
        transaction, "PRAGMA page_size"
    )


def _number(transaction: Transaction, sql: str) -> int:
    (value,) = transaction.execute(sql).fetchone()
    return int(value)
