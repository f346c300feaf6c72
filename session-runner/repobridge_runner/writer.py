"""The journal's one writer: gives each event its sequence, and spends the space in reserve."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from repobridge.durable.failures import is_disk_full, is_storage_failure
from repobridge.durable.groupwriter import Act, Deliver, GroupWriter
from repobridge.durable.reserve import Reserve
from repobridge.errors import Refusal, Status
from repobridge_runner.transaction import Transaction


class Writer(GroupWriter):
    """Runs acts on the journal; what must be written may use the reserve on a full disk."""

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
        super().__init__(connection, name="journal-writer", deliver=deliver, stopped=stopped)
        self._log_id = log_id
        self._last_sequence = last_sequence
        self._reached_sequence = last_sequence
        self._reserve = reserve
        self._clock = clock

    def _prepare(self) -> None:
        self._reserve.restore()

    def _begun(self) -> None:
        self._reached_sequence = self._last_sequence

    def _committed(self) -> None:
        self._last_sequence = self._reached_sequence

    def _made_room(self, act: Act, error: BaseException) -> bool:
        return is_disk_full(error) and act.is_essential and self._reserve.spend()

    def _perform(self, act: Act) -> Transaction:
        transaction = Transaction(
            self._connection,
            log_id=self._log_id,
            last_sequence=self._reached_sequence,
            now=self._clock(),
        )
        try:
            act.result = act.run(transaction)
        finally:
            act.is_essential = act.is_essential or transaction.is_essential
        if self._reserve.is_spent and not act.is_essential:
            raise disk_full()
        self._reached_sequence += len(transaction.appended)
        return transaction

    def _failure(self, error: BaseException) -> BaseException:
        return translated(error)


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
