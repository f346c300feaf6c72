"""What the store forgets: what was over long ago, some rows at a time, and the disk they held."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial

from repobridge_gateway.store.database import Database, Transaction

KEPT_SECONDS = 30 * 24 * 3600.0
_STEP_ROWS = 200
_STEP_PAGES = 1000
_OVER = (
    ("messages", "changed_at", "state NOT IN ('HELD', 'READY', 'SUBMITTED') AND wish = 'NONE'"),
    ("sends", "changed_at", "state IN ('DONE', 'LOST')"),
    ("requests", "changed_at", "is_open = 0"),
    ("clicks", "changed_at", "state <> 'WON'"),
    # A turn's message is made anew every 45 minutes: what is this old follows nothing.
    ("lives", "made_at", "TRUE"),
)
# What waits for a bridge that is not served any more, and so for nobody. The place in its log
# stays, as do cursors: they are small, and without them a bridge that comes back says all again.
_IS_GONE = "bridge NOT IN (SELECT value FROM json_each(?))"
_OF_GONE = (
    ("messages", "changed_at", _IS_GONE),
    ("requests", "changed_at", _IS_GONE),
)
_LEFT_ALONE = (
    ("clicks", "state = 'WON' AND ulid NOT IN (SELECT ulid FROM requests)"),
    ("openings", "starter NOT IN (SELECT message_id FROM messages)"),
)


async def trim(database: Database, served: Collection[str]) -> int:
    """Forgets what was over 30 days ago, and what waits as long for a bridge that is not served.

    Where no bridge is served nobody may know yet which are: then none counts as gone. Other acts
    pass between the steps.
    """
    steps: list[tuple[str, str, str, tuple[str, ...]]] = [(*each, ()) for each in _OVER]
    if served:
        steps += [(*each, (json.dumps(sorted(served)),)) for each in _OF_GONE]
    forgotten = 0
    for table, age, which, parameters in steps:
        step = partial(_some, table=table, age=age, which=which, parameters=parameters)
        while removed := await database.write(step, essential=True):
            forgotten += removed
    forgotten += await database.write(_left_alone, essential=True)
    while await database.write(_vacuum, essential=True):
        pass
    return forgotten


def _some(
    transaction: Transaction, *, table: str, age: str, which: str, parameters: tuple[str, ...]
) -> int:
    removed = transaction.execute(
        f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}"
        f" WHERE {age} < ? AND {which} ORDER BY {age} LIMIT ?)",
        (transaction.now - KEPT_SECONDS, *parameters, _STEP_ROWS),
    )
    return removed.rowcount


def _left_alone(transaction: Transaction) -> int:
    """Forgets what belongs to rows that are no more."""
    removed = 0
    for table, which in _LEFT_ALONE:
        removed += transaction.execute(f"DELETE FROM {table} WHERE {which}").rowcount
    return removed


def _vacuum(transaction: Transaction) -> bool:
    (before,) = transaction.one("PRAGMA freelist_count")
    transaction.execute(f"PRAGMA incremental_vacuum({_STEP_PAGES})").fetchall()
    (after,) = transaction.one("PRAGMA freelist_count")
    return bool(0 < after < before)
