"""The one database of a runner: every durable fact goes through it, in one order.

SQLite in WAL mode, each commit on disk before it is confirmed. One thread writes, and acts that
wait share a commit; another reads, from snapshots that never hold the writer up. An exclusive lock
on the directory fences a second runner off.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from repobridge.errors import Refusal, RepoBridgeError, Status
from repobridge_runner.reserve import Reserve
from repobridge_runner.schema import NewerSchemaError, migrate
from repobridge_runner.transaction import StoredEvent, Transaction
from repobridge_runner.writer import (
    Act,
    Writer,
    disk_full,
    is_disk_full,
    is_storage_failure,
    translated,
)

__all__ = ["Journal", "JournalError", "JournalState", "StoredEvent", "Transaction"]

T = TypeVar("T")
_RESERVE_BYTES = 4 << 20
_WAL_KEPT_BYTES = 8 << 20


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
    lock: int
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    reserve: Reserve
    state: JournalState


class Journal:
    """Durable acts on one SQLite file, from one event loop."""

    def __init__(
        self, directory: Path, opened: _Opened, *, clock: Callable[[], float], waiting: int
    ) -> None:
        self.directory = directory
        self.log_id = opened.state.log_id
        self.state_at_open = opened.state
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(waiting)
        self._listeners: list[Callable[[Sequence[StoredEvent]], None]] = []
        self._writer_stopped = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._writer = Writer(
            opened.writer,
            log_id=opened.state.log_id,
            last_sequence=opened.state.last_sequence,
            reserve=opened.reserve,
            clock=clock,
            deliver=self._deliver_from_thread,
            stopped=self._stopped_from_thread,
        )

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

    @property
    def commits(self) -> int:
        """How many commits were made since it was opened."""
        return self._writer.commits

    def on_commit(self, listener: Callable[[Sequence[StoredEvent]], None]) -> None:
        """Calls the listener with the events of each commit, before the writers hear of it."""
        self._listeners.append(listener)

    async def write(self, act: Callable[[Transaction], T], *, essential: bool = False) -> T:
        """Runs an act in the writer thread and returns its result once that is on disk.

        Acts take effect in the order of the calls. One that raises is undone and raises here; the
        others of its commit are not touched. It may run several times, as a commit that failed is
        tried again in halves: let it have no effect but through its transaction. Cancelling
        the caller does not take the act back. On a full disk Refusal DISK_FULL, except that an
        essential act may use the space in reserve. When too many wait, it waits for its place.
        """
        if self._closing is not None:
            raise Refusal(Status.UNAVAILABLE, "STOPPING", "The runner is stopping.")
        await self._slots.acquire()
        return await self._put(act, essential)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a query on a read-only connection, in one snapshot, in the reader thread."""
        return await self._loop.run_in_executor(self._readers, self._query, query)

    async def close(self) -> None:
        """Makes everything written before durable, and lets the directory go."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    def _put(self, act: Callable[[Transaction], T], essential: bool) -> asyncio.Future[T]:
        ticket: asyncio.Future[T] = self._loop.create_future()
        self._writer.put(Act(act, ticket, essential))
        return ticket

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        reader = self._opened.reader
        reader.execute("BEGIN")
        try:
            return query(reader)
        except sqlite3.Error as error:
            if is_storage_failure(error):
                raise translated(error) from error
            raise
        finally:
            reader.execute("ROLLBACK")

    async def _close(self) -> None:
        # Semaphores are fair: whoever waited for a place before this has it before this.
        await self._slots.acquire()
        self._writer.stop()
        await self._writer_stopped.wait()
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self._readers.shutdown()
        self._opened.reader.close()
        self._opened.writer.close()
        os.close(self._opened.lock)

    def _deliver_from_thread(self, acts: Sequence[Act], stored: Sequence[StoredEvent]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, acts, stored)
        except RuntimeError:  # the loop was closed under us: nobody is left to tell
            pass

    def _stopped_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._writer_stopped.set)

    def _deliver(self, acts: Sequence[Act], stored: Sequence[StoredEvent]) -> None:
        if stored:
            for listener in self._listeners:
                listener(stored)
        for act in acts:
            self._slots.release()
            if act.ticket.done():
                continue
            if act.error is not None:
                act.ticket.set_exception(act.error)
            else:
                act.ticket.set_result(act.result)


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
    return _Opened(lock, writer, reader, reserve, state)


def _open_database(
    path: Path, reserve: Reserve
) -> tuple[sqlite3.Connection, sqlite3.Connection, JournalState]:
    try:
        writer = _writer_connection(path)
        return writer, _connect(path, mode="ro"), _state(writer)
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
    lock = os.open(directory / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise Refusal(
            Status.FAILED_PRECONDITION,
            "WORKSPACE_LOCKED",
            f"Another runner (process {holder}) uses {directory}; end it first.",
            {"pid": holder},
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, but opened and closed in others.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _writer_connection(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connect(path, mode="rw")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts before the first table only
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
    migrate(connection)
    return connection


def _state(connection: sqlite3.Connection) -> JournalState:
    connection.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('log_id', ?)", (uuid.uuid4().hex,)
    )
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    trimmed = int(meta.get("trimmed_sequence", "0"))
    (last,) = connection.execute("SELECT max(sequence) FROM events").fetchone()
    acked = dict(connection.execute("SELECT name, sequence FROM consumers"))
    return JournalState(meta["log_id"], last or trimmed, trimmed, acked)
