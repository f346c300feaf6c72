"""The gateway's store in SQLite: everything in one file, each call one commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from repobridge_gateway.store import trimming
from repobridge_gateway.store.clickrows import SqliteClicks
from repobridge_gateway.store.database import Database, StoreError
from repobridge_gateway.store.gaprows import SqliteGaps
from repobridge_gateway.store.inboxrows import SqliteInbox
from repobridge_gateway.store.ledgerrows import SqliteLedger
from repobridge_gateway.store.openingrows import SqliteOpenings
from repobridge_gateway.store.outboxrows import SqliteOutbox

__all__ = ["SqliteStore", "StoreError"]


class SqliteStore:
    """A `Store` in one directory."""

    def __init__(self, database: Database) -> None:
        self.inbox = SqliteInbox(database)
        self.gaps = SqliteGaps(database)
        self.openings = SqliteOpenings(database)
        self.outbox = SqliteOutbox(database)
        self.clicks = SqliteClicks(database)
        self.ledger = SqliteLedger(database)
        self._database = database

    @classmethod
    async def open(
        cls, directory: Path, *, clock: Callable[[], float] = time.time, waiting: int = 10_000
    ) -> SqliteStore:
        """Opens or makes the store; its directory is then this process's alone.

        At most `waiting` calls wait for a commit, and further ones for their place. Raises Refusal
        STORE_LOCKED, which names the holder's `pid`, STORE_FULL or STORE_BUSY; and StoreError for
        a file that is damaged or of a later version, which stays as it is.
        """
        return cls(await Database.open(directory, clock=clock, waiting=waiting))

    @property
    def commits(self) -> int:
        """How many commits were made since it was opened."""
        return self._database.commits

    async def trim(self, served: Collection[str]) -> int:
        """Forgets what was over 30 days ago, or waited as long for a bridge that is not served."""
        return await trimming.trim(self._database, served)

    async def close(self) -> None:
        """Makes everything called before durable, and lets go of the directory."""
        await self._database.close()
