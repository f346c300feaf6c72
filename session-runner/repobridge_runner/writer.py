"""The journal's one writer: a thread that commits the acts that wait, together, in their order."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
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
            # One act failed, or is what does not fit: halves find it, and the others keep order.
            middle = len(group) // 2
            self._commit(group[:middle])
            self._commit(group[middle:])
            return
        (act,) = group
        if is_disk_full(error) and act.is_essential and self._reserve.spend():
            error = self._try(group)
        if error is not None:
            act.error = translated(error)
            act.appended = []

    def _try(self, group: list[Act]) -> BaseException | None:
        """Commits the acts together; None, or the error for which nothing of them was kept.

        As few statements as can be, and no savepoints: each lets go of the interpreter, and gets
        it back late from a busy event loop.
        """
        last_sequence = self._last_sequence
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for act in group:
                last_sequence = self._perform(act, last_sequence)
            self._connection.commit()
        except BaseException as error:
            with suppress(sqlite3.Error):  # then the next BEGIN fails, and says so to its callers
                self._connection.rollback()
            return error
        self.commits += 1
        self._last_sequence = last_sequence
        return None

    def _perform(self, act: Act, last_sequence: int) -> int:
        """Runs one act; returns the last sequence after it."""
        transaction = Transaction(
            self._connection, log_id=self._log_id, last_sequence=last_sequence, now=self._clock()
        )
        try:
            act.result = act.run(transaction)
        finally:
            act.is_essential = act.is_essential or transaction.is_essential
        if self._reserve.is_spent and not act.is_essential:
            raise disk_full()
        act.appended = transaction.appended
        return last_sequence + len(act.appended)


def is_disk_full(error: BaseException) -> bool:
    """Whether this is SQLite's word for a disk without room."""
    return getattr(error, "sqlite_errorcode", None) in _DISK_FULL


def is_storage_failure(error: BaseException) -> bool:
    """Whether the file or its disk is at fault, and not the statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _STORAGE_FAILED


def translated(error: BaseException) -> BaseException:
    """The error as callers hear it: failures of the file or its disk have names of their own."""
    if not is_storage_failure(error):
        return error
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


def _failed(error: BaseException) -> Refusal:
    return Refusal(
        Status.INTERNAL, "JOURNAL_FAILED", f"The journal of this workspace failed: {error}."
    )
