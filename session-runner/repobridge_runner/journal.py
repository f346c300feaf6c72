"""The one database of a runner: every durable fact goes through it, in one order.

SQLite in WAL mode, each commit on disk before it is confirmed. One thread writes, and acts that
wait share a commit; another reads, from snapshots that never hold the writer up. An exclusive lock
on the directory fences a second runner off.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from repobridge.durable.acts import DurableActs
from repobridge.durable.failures import is_disk_full
from repobridge.durable.files import (
    LockedError,
    NewerSchemaError,
    OpenFiles,
    reader_connection,
    take_lock,
    writer_connection,
)
from repobridge.durable.groupwriter import Act, Deliver
from repobridge.durable.reserve import Reserve
from repobridge.errors import Refusal, RepoBridgeError, Status
from repobridge_runner.schema import MIGRATIONS
from repobridge_runner.transaction import StoredEvent, Transaction
from repobridge_runner.writer import Writer, disk_full, translated

__all__ = ["Journal", "JournalError", "JournalState", "StoredEvent", "Transaction"]

_RESERVE_BYTES = 4 << 20


class JournalError(RepoBridgeError):
    """The journal cannot be opened; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class JournalState:
    """What a journal held when it was opened."""

    log_id: str
    last_sequence: int
    trimmed_sequence: int
    acked: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Opened:
    files: OpenFiles
    reserve: Reserve
    state: JournalState


class Journal(DurableActs[Transaction]):
    """Durable acts on one SQLite file, from one event loop."""

    def __init__(
        self, directory: Path, opened: _Opened, *, clock: Callable[[], float], waiting: int
    ) -> None:
        self.directory = directory
        self.log_id = opened.state.log_id
        self.state_at_open = opened.state
        self._reserve = opened.reserve
        self._clock = clock
        self._listeners: list[Callable[[Sequence[StoredEvent]], None]] = []
        super().__init__(opened.files, waiting=waiting, name="journal")

    @classmethod
    async def open(
        cls,
        directory: Path,
        *,
        clock: Callable[[], float] = time.time,
        waiting: int = 10_000,
        reserve_bytes: int = _RESERVE_BYTES,
    ) -> Journal:
        """Opens or creates the journal in a directory, which is then this process's alone.

        Raises Refusal WORKSPACE_LOCKED while another holds it, and JournalError for a database
        that is damaged or from a later version, which stays as it is.
        """
        opened = await asyncio.to_thread(_open, directory, reserve_bytes)
        return cls(directory, opened, clock=clock, waiting=waiting)

    def on_commit(self, listener: Callable[[Sequence[StoredEvent]], None]) -> None:
        """Calls the listener with the events of each commit, before the writers hear of it."""
        self._listeners.append(listener)

    def _make_writer(self, deliver: Deliver, stopped: Callable[[], None]) -> Writer:
        return Writer(
            self._files.writer,
            log_id=self.log_id,
            last_sequence=self.state_at_open.last_sequence,
            reserve=self._reserve,
            clock=self._clock,
            deliver=deliver,
            stopped=stopped,
        )

    def _stopping(self) -> Refusal:
        return Refusal(Status.UNAVAILABLE, "STOPPING", "The runner is stopping.")

    def _failure(self, error: BaseException) -> BaseException:
        return translated(error)

    def _committed(self, acts: Sequence[Act]) -> None:
        stored = [event for act in acts if act.view for event in act.view.appended]
        if stored:
            for listener in self._listeners:
                listener(stored)


def _open(directory: Path, reserve_bytes: int) -> _Opened:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(directory)
    try:
        reserve = Reserve(directory / "journal.reserve", size_bytes=reserve_bytes)
        writer, reader, state = _open_database(directory / "journal.sqlite", reserve)
        reserve.restore()
    except BaseException:
        os.close(lock)
        raise
    return _Opened(OpenFiles(lock, writer, reader), reserve, state)


def _open_database(
    path: Path, reserve: Reserve
) -> tuple[sqlite3.Connection, sqlite3.Connection, JournalState]:
    try:
        writer = writer_connection(path, migrations=MIGRATIONS)
        return writer, reader_connection(path), _state(writer)
    except (sqlite3.Error, NewerSchemaError) as error:
        if not is_disk_full(error):
            raise JournalError(
                f"The journal {path} cannot be used: {error}. It was left as it is; use the "
                "version that wrote it, or move the file away to begin a new log."
            ) from error
        if not reserve.spend():
            raise disk_full() from error
    return _open_database(path, reserve)


def _lock(directory: Path) -> int:
    try:
        return take_lock(directory / "journal.lock")
    except LockedError as error:
        raise Refusal(
            Status.FAILED_PRECONDITION,
            "WORKSPACE_LOCKED",
            f"Another runner (process {error.pid}) uses {directory}; end it first.",
            {"pid": error.pid},
        ) from None


def _state(connection: sqlite3.Connection) -> JournalState:
    connection.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('log_id', ?)", (uuid.uuid4().hex,)
    )
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    trimmed = int(meta.get("trimmed_sequence", "0"))
    (last,) = connection.execute("SELECT max(sequence) FROM events").fetchone()
    acked = dict(connection.execute("SELECT name, sequence FROM consumers"))
    return JournalState(meta["log_id"], last or trimmed, trimmed, acked)
