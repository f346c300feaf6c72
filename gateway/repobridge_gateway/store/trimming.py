"""What the store forgets: what was over long ago, some rows at a time, and the disk they held."""

from __future__ import annotations

from functools import partial

from repobridge_gateway.store.database import Database, Transaction

KEPT_SECONDS = 30 * 24 * 3600.0
_STEP_ROWS = 200
_STEP_PAGES = 1000
_OVER = (
    ("messages", "state NOT IN ('HELD', 'READY', 'SUBMITTED') AND wish = 'NONE'"),
    ("sends", "state IN ('DONE', 'LOST')"),
    ("requests", "is_open = 0"),
    ("clicks", "state <> 'WON'"),
)


async def trim(database: Database) -> int:
    """Forgets what was over 30 days ago; other acts pass between its steps."""
    forgotten = 0
    for table, is_over in _OVER:
        step = partial(_some, table=table, is_over=is_over)
        while removed := await database.write(step):
            forgotten += removed
    while await database.write(_vacuum):
        pass
    return forgotten


def _some(transaction: Transaction, *, table: str, is_over: str) -> int:
    removed = transaction.execute(
        f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}"
        f" WHERE changed_at < ? AND {is_over} ORDER BY changed_at LIMIT ?)",
        (transaction.now - KEPT_SECONDS, _STEP_ROWS),
    )
    return removed.rowcount


def _vacuum(transaction: Transaction) -> bool:
    (before,) = transaction.one("PRAGMA freelist_count")
    transaction.execute(f"PRAGMA incremental_vacuum({_STEP_PAGES})").fetchall()
    (after,) = transaction.one("PRAGMA freelist_count")
    return bool(0 < after < before)
