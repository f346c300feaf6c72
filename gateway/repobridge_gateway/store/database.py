"""The store's one SQLite file: opened by one gateway at a time, written by one thread."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repobridge.durable.acts import DurableActs
from repobridge.durable.failures import is_busy, is_disk_full, is_storage_failure
from repobridge.durable.files import (
    LockedError,
    NewerSchemaError,
    OpenFiles,
    check,
    reader_connection,
    take_lock,
    writer_connection,
)
from repobridge.durable.groupwriter import Act, Deliver, GroupWriter
from repobridge.durable.reserve import Reserve
from repobridge.errors import Refusal, RepoBridgeError, Status
from repobridge_gateway.store.schema import MIGRATIONS

_FILE = "gateway.sqlite"
_RESERVE_BYTES = 1 << 20
"""Set aside for what is already under way: it comes to its end on a full disk, too."""


class StoreError(RepoBridgeError):
    """The store can't be opened; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """What an act sees of the database; valid only while the act runs."""

    connection: sqlite3.Connection
    now: float

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Runs one statement in the transaction."""
        return self.connection.execute(sql, parameters)

    def one(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first row of a query, or None."""
        return self.connection.execute(sql, parameters).fetchone()


class StoreWriter(GroupWriter):
    """Runs acts on the store; those that end something may use the reserve on a full disk."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        reserve: Reserve,
        clock: Callable[[], float],
        deliver: Deliver,
        stopped: Callable[[], None],
    ) -> None:
        super().__init__(connection, name="store-writer", deliver=deliver, stopped=stopped)
        self._reserve = reserve
        self._clock = clock

    def _prepare(self) -> None:
        self._reserve.restore()

    def _made_room(self, act: Act, error: BaseException) -> bool:
        return is_disk_full(error) and act.is_essential and self._reserve.spend()

    def _perform(self, act: Act) -> None:
        if self._reserve.is_spent and not act.is_essential:
            raise _full()
        act.result = act.run(Transaction(self._connection, self._clock()))

    def _failure(self, error: BaseException) -> BaseException:
        return _translated(error)


class Database(DurableActs[Transaction]):
    """Durable acts on the store's file, from one event loop."""

    def __init__(
        self, files: OpenFiles, reserve: Reserve, *, clock: Callable[[], float], waiting: int
    ) -> None:
        self._clock = clock
        self._reserve = reserve
        super().__init__(files, waiting=waiting, name="store")

    @classmethod
    async def open(cls, directory: Path, *, clock: Callable[[], float], waiting: int) -> Database:
        """Opens or makes the store in a directory, which is then this process's alone.

        Raises Refusal STORE_LOCKED while another holds it, STORE_FULL or STORE_BUSY; and StoreError
        for a file that is damaged or of a later version, which stays as it is.
        """
        files, reserve = await asyncio.to_thread(_open, directory)
        return cls(files, reserve, clock=clock, waiting=waiting)

    def now(self) -> float:
        """The time as acts are given it."""
        return self._clock()

    def _make_writer(self, deliver: Deliver, stopped: Callable[[], None]) -> StoreWriter:
        return StoreWriter(
            self._files.writer,
            reserve=self._reserve,
            clock=self._clock,
            deliver=deliver,
            stopped=stopped,
        )

    def _stopping(self) -> Refusal:
        return Refusal(Status.UNAVAILABLE, "STORE_CLOSED", "The gateway is stopping.")

    def _failure(self, error: BaseException) -> BaseException:
        return _translated(error)


def _open(directory: Path) -> tuple[OpenFiles, Reserve]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(directory)
    reserve = Reserve(directory / "gateway.reserve", size_bytes=_RESERVE_BYTES)
    path = directory / _FILE
    try:
        files = OpenFiles(lock, *_connections(path, reserve))
        reserve.restore()
        return files, reserve
    except (sqlite3.Error, NewerSchemaError) as error:
        os.close(lock)
        if is_disk_full(error) or is_busy(error):
            raise _translated(error) from error
        raise StoreError(
            f"The gateway's store {path} can't be used: {error}. It was left as it is, as it may "
            "hold messages that nobody has answered; use the version that wrote it, restore a "
            "copy, or move the file away to begin with an empty one."
        ) from error
    except BaseException:
        os.close(lock)
        raise


def _connections(path: Path, reserve: Reserve) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    try:
        return _writer(path), reader_connection(path)
    except sqlite3.Error as error:
        if not (is_disk_full(error) and reserve.spend()):
            raise
    return _connections(path, reserve)


def _writer(path: Path) -> sqlite3.Connection:
    if path.exists():
        check(path)
    return writer_connection(path, migrations=MIGRATIONS)


def _lock(directory: Path) -> int:
    try:
        return take_lock(directory / "gateway.lock")
    except LockedError as error:
        raise Refusal(
            Status.FAILED_PRECONDITION,
            "STORE_LOCKED",
            f"Another gateway (process {error.pid}) uses the store {directory}; end it first.",
            {"pid": error.pid},
        ) from None


def _translated(error: BaseException) -> BaseException:
    """The error as callers hear it."""
    if is_disk_full(error):
        refusal = _full()
    elif is_busy(error):
        refusal = Refusal(
            Status.UNAVAILABLE,
            "STORE_BUSY",
            "Another program keeps the gateway's store locked; nothing was written. End it.",
        )
    elif is_storage_failure(error):
        refusal = Refusal(Status.INTERNAL, "STORE_FAILED", f"The gateway's store failed: {error}.")
    else:
        return error
    refusal.__cause__ = error
    return refusal


def _full() -> Refusal:
    return Refusal(
        Status.RESOURCE_EXHAUSTED,
        "STORE_FULL",
        "The disk of the gateway's store is full; nothing was written. Free some space.",
    )
