"""The journal's one writer: a thread that commits the acts that wait, together, in their order."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from repobridge.errors import Refusal, Status
from repobridge_runner.reserve import Reserve
from repobridge_runner.transaction import StoredEvent, Transaction

_GROUP_ACTS = 512
"""Acts that share one commit at most."""
_DISK_FULL = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # EDQUOT: SQLite tells only ENOSPC apart
    sqlite3.SQLITE_IOERR_FSYNC,  # ENOSPC where blocks are allocated late
    sqlite3.SQLITE_IOERR_SHMSIZE,  # the shared index of the WAL could not grow
)
_STORAGE_FAILED = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
)


@dataclass(slots=True, eq=False)
class Act:
    """An act that waits for its commit, and then what came of it."""

    run: Callable[[Transaction], Any]
    ticket: Any
    is_essential: bool = False
    result: Any = None
    error: BaseException | None = None
    appended: list[StoredEvent] = field(default_factory=list)


Deliver = Callable[[Sequence[Act], Sequence[StoredEvent]], None]


class Writer:
    """Runs acts in a thread of its own and says, a group at a time, what came of them."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        log_id: str,
        last_sequence: int,
        reserve: Reserve,
        clock: Callable[[], float],
        deliver: Deliver,
        stopped: Callable[[], None],
    ) -> None:
        self.commits = 0
        self._connection = connection
        self._log_id = log_id
        self._last_sequence = last_sequence
        self._reserve = reserve
        self._clock = clock
        self._deliver = deliver
        self._stopped = stopped
        self._queue: SimpleQueue[Act | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def put(self, act: Act) -> None:
        """Queues an act; the caller bounds how many wait."""
        self._queue.put(act)

    def stop(self) -> None:
        """Ends the thread after everything that was put before."""
        self._queue.put(None)

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            if group:
                self._reserve.restore()
                self._commit(group)
                self._deliver(group, [event for act in group for event in act.appended])
        self._stopped()

    def _next_group(self) -> tuple[list[Act], bool]:
        group: list[Act] = []
        act = self._queue.get()
        while act is not None:
            group.append(act)
            if len(group) == _GROUP_ACTS:
                return group, True
            try:
                act = self._queue.get_nowait()
            except Empty:
                return group, True
        return group, False

    def _commit(self, group: list[Act]) -> None:
        error = self._try(group)
        if error is None:
            return
        if len(group) > 1:
            # One act may be what does not fit: each for itself, still in order.
            for act in group:
                self._commit([act])
            return
        (act,) = group
        if is_disk_full(error) and act.is_essential and self._reserve.spend():
            error = self._try(group)
        if error is not None:
            act.error = refusal_of(error)
            act.appended = []

    def _try(self, group: list[Act]) -> sqlite3.Error | None:
        """Commits the acts together; None, or the error for which nothing of them was kept."""
        last_sequence = self._last_sequence
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for act in group:
                last_sequence = self._perform(act, last_sequence)
            self._connection.execute("COMMIT")
        except _GroupLostError as lost:
            self._roll_back()
            return lost.cause
        except sqlite3.Error as error:
            self._roll_back()
            return error
        self.commits += 1
        self._last_sequence = last_sequence
        return None

    def _perform(self, act: Act, last_sequence: int) -> int:
        """Runs one act in a savepoint; returns the last sequence after it."""
        transaction = Transaction(
            self._connection, log_id=self._log_id, last_sequence=last_sequence, now=self._clock()
        )
        act.result, act.error, act.appended = None, None, []
        self._connection.execute("SAVEPOINT act")
        try:
            act.result = act.run(transaction)
            act.is_essential = act.is_essential or transaction.is_essential
            if self._reserve.is_spent and not act.is_essential:
                raise disk_full()
        except BaseException as error:
            if isinstance(error, sqlite3.Error) and self._is_lost(error):
                act.is_essential = act.is_essential or transaction.is_essential
                raise _GroupLostError(error) from error
            self._connection.execute("ROLLBACK TO act")
            act.error = error
        else:
            act.appended = transaction.appended
        self._connection.execute("RELEASE act")
        return last_sequence + len(act.appended)

    def _is_lost(self, error: sqlite3.Error) -> bool:
        # SQLite may end the whole transaction by itself on such an error.
        return is_storage_failure(error) or not self._connection.in_transaction

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


class _GroupLostError(Exception):
    """The transaction of a whole group is gone, through no fault of its acts."""

    def __init__(self, cause: sqlite3.Error) -> None:
        super().__init__(str(cause))
        self.cause = cause


def is_disk_full(error: BaseException) -> bool:
    """Whether this is SQLite's word for a disk without room."""
    return getattr(error, "sqlite_errorcode", None) in _DISK_FULL


def is_storage_failure(error: sqlite3.Error) -> bool:
    """Whether the file or its disk is at fault, and not the statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _STORAGE_FAILED


def refusal_of(error: sqlite3.Error) -> Refusal:
    """What callers hear of a failure of the file or its disk."""
    refusal = disk_full() if is_disk_full(error) else _failed(error)
    refusal.__cause__ = error
    return refusal


def disk_full() -> Refusal:
    """The refusal of a write for which there is no room."""
    return Refusal(
        Status.RESOURCE_EXHAUSTED,
        "DISK_FULL",
        "The disk of the workspace is full; nothing was written. Free some space and try again.",
    )


def _failed(error: sqlite3.Error) -> Refusal:
    return Refusal(Status.INTERNAL, "JOURNAL_FAILED", f"The journal could not be written: {error}.")
