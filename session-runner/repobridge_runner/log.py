"""The runner's event log: durable, ordered without gaps, readable from any sequence.

A reader follows its own position: what is stored comes in pages from disk, what is new from a
small tail in memory that all readers share. Nothing is queued for a reader, so a slow one costs no
memory: it falls back to pages.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from repobridge.errors import Refusal, Status
from repobridge.session.events import Cursor, Event
from repobridge_runner import trimming
from repobridge_runner.journal import Journal, StoredEvent, Transaction
from repobridge_runner.tail import Tail

__all__ = ["DiskState", "EventLog", "LogBounds", "StoredEvent"]

_PAGE_EVENTS = 256


@dataclass(frozen=True, kw_only=True)
class LogBounds:
    """How much a log keeps."""

    max_bytes: int = 1 << 30
    """The database's size, beyond which the oldest events go that may go."""
    max_age_seconds: float = 7 * 86_400.0
    """Events stay this long at least, unless the size says otherwise."""
    message_age_seconds: float = 30 * 86_400.0
    """How long the ids of ended messages are remembered."""
    full_fraction: float = 0.9
    """The used share of the volume from which it counts as full."""
    tail_bytes: int = 1 << 20
    """Payload held in memory for readers that keep up."""
    page_bytes: int = 256 << 10
    """Payload that a reader takes from disk at a time, or one event where that is larger."""


@dataclass(frozen=True, slots=True)
class DiskState:
    """How full the volume of the log is; when `full`, new work is to be refused."""

    fraction_used: float
    full: bool


class EventLog:
    """Appends, replays, follows, acknowledges and trims the events of one journal."""

    def __init__(
        self,
        journal: Journal,
        *,
        bounds: LogBounds,
        clock: Callable[[], float],
        statvfs: Callable[[os.PathLike[str]], os.statvfs_result] = os.statvfs,
    ) -> None:
        self.log_id = journal.log_id
        self._journal = journal
        self._bounds = bounds
        self._clock = clock
        self._statvfs = statvfs
        self._last = journal.state_at_open.last_sequence
        self._trimmed = journal.state_at_open.trimmed_sequence
        self._acked = dict(journal.state_at_open.acked)
        self._tail = Tail(max_bytes=bounds.tail_bytes)
        self._grown = asyncio.Event()
        self._is_closed = False
        self._is_over_size = False
        journal.on_commit(self._committed)

    @property
    def last_sequence(self) -> int:
        """The newest committed event's; 0 before the first."""
        return self._last

    @property
    def oldest_sequence(self) -> int:
        """The oldest event's that is still stored; last + 1 when there is none."""
        return self._trimmed + 1

    @property
    def acked_sequence(self) -> int | None:
        """What every durable consumer has acknowledged; None when none ever registered."""
        return min(self._acked.values(), default=None)

    async def append(self, *new: Event) -> int:
        """Appends events in one commit; returns the last sequence once it is on disk."""

        def act(transaction: Transaction) -> None:
            for event in new:
                transaction.append(event)

        await self._journal.write(act)
        return self._last

    def subscribe(
        self,
        after: Cursor,
        *,
        conversation_ids: frozenset[str] = frozenset(),
        from_now: bool = False,
    ) -> AsyncIterator[StoredEvent]:
        """Yields the events after a cursor, first the stored ones, then each as it is committed.

        With conversation ids, only theirs and the runner's own; with `from_now`, only what is
        committed after this call. Never ends by itself. Raises Refusal FOREIGN_LOG,
        SEQUENCE_IN_FUTURE or SEQUENCE_TRIMMED: at once, or when trimming overtakes the reader;
        and STOPPING once the log is closed, after its last event.
        """
        return self._follow(Cursor("", self._last) if from_now else after, conversation_ids)

    def close(self) -> None:
        """Says that nothing more will be appended: who has read it all need not wait."""
        self._is_closed = True
        self._grown.set()

    async def ack(self, consumer: str, cursor: Cursor) -> Cursor:
        """Records what a durable consumer has delivered, never less than before; returns it.

        Raises Refusal FOREIGN_LOG or SEQUENCE_IN_FUTURE.
        """
        if not cursor.log_id:
            raise self._foreign()
        self._check(cursor)

        def act(transaction: Transaction) -> int:
            row = transaction.execute(
                "INSERT INTO consumers (name, sequence, at) VALUES (?, ?, ?) ON CONFLICT (name)"
                " DO UPDATE SET sequence = max(sequence, excluded.sequence), at = excluded.at"
                " RETURNING sequence",
                (consumer, cursor.sequence, transaction.now),
            ).fetchone()
            return int(row[0])

        acked = await self._journal.write(act, essential=True)
        self._acked[consumer] = max(acked, self._acked.get(consumer, 0))
        return Cursor(self.log_id, self._acked[consumer])

    async def trim(self) -> int:
        """Removes what age and size allow, and returns the disk space; says how many events went.

        What a registered consumer has not acknowledged stays. Removed by age are acknowledged
        events; by size the oldest of them, or where no consumer ever registered, the oldest.
        """
        cutoff = self._clock() - self._bounds.max_age_seconds
        before = self._trimmed
        while not (step := await self._trim_step(cutoff)).is_done:
            self._trimmed = max(self._trimmed, step.trimmed)
        self._is_over_size = step.is_over_size
        await trimming.forget_ended(self._journal, self._clock() - self._bounds.message_age_seconds)
        await trimming.return_free_pages(self._journal)
        return self._trimmed - before

    def disk_state(self) -> DiskState:
        """How full the volume is; also full when the log is over its bound and cannot shrink."""
        volume = self._statvfs(self._journal.directory)
        used = volume.f_blocks - volume.f_bfree
        usable = used + volume.f_bavail
        fraction = used / usable if usable else 1.0
        full = fraction >= self._bounds.full_fraction or self._is_over_size
        return DiskState(fraction, full)

    async def _trim_step(self, cutoff: float) -> trimming.Step:
        allowed = self.acked_sequence
        return await trimming.remove_some(
            self._journal,
            allowed=self._last if allowed is None else allowed,
            cutoff=cutoff,
            max_bytes=self._bounds.max_bytes,
        )

    def _committed(self, stored: Sequence[StoredEvent]) -> None:
        self._last = stored[-1].sequence
        self._tail.extend(stored)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def _follow(
        self, after: Cursor, conversation_ids: frozenset[str]
    ) -> AsyncIterator[StoredEvent]:
        self._check(after)
        if after.sequence < self._trimmed:
            raise self._overtaken(self._trimmed)
        wanted = conversation_ids and conversation_ids | {""}
        position = after.sequence
        while True:
            grown = self._grown
            if position == self._last:
                if self._is_closed:
                    raise Refusal(Status.UNAVAILABLE, "STOPPING", "The runner is stopping.", {})
                await grown.wait()
                continue
            page = self._tail.after(position, limit=_PAGE_EVENTS) or await self._from_disk(position)
            for stored in page:
                if not wanted or stored.conversation_id in wanted:
                    yield stored
            position = page[-1].sequence

    async def _from_disk(self, position: int) -> Sequence[StoredEvent]:
        def query(connection: sqlite3.Connection) -> tuple[int, list[StoredEvent]]:
            return trimming.trimmed_sequence(connection), _page(
                connection, position, max_bytes=self._bounds.page_bytes
            )

        trimmed, page = await self._journal.read(query)
        if trimmed > position:
            raise self._overtaken(trimmed)
        return page

    def _check(self, cursor: Cursor) -> None:
        if cursor.log_id not in ("", self.log_id):
            raise self._foreign()
        if cursor.sequence > self._last:
            raise Refusal(
                Status.OUT_OF_RANGE,
                "SEQUENCE_IN_FUTURE",
                f"Sequence {cursor.sequence} is not written yet: the last is {self._last}.",
                {"last": str(self._last)},
            )

    def _foreign(self) -> Refusal:
        return Refusal(
            Status.FAILED_PRECONDITION,
            "FOREIGN_LOG",
            "The cursor is of another log than this one; read this one from its beginning.",
            {"log_id": self.log_id},
        )

    def _overtaken(self, trimmed: int) -> Refusal:
        return Refusal(
            Status.OUT_OF_RANGE,
            "SEQUENCE_TRIMMED",
            f"The events up to {trimmed} are no longer stored; read on from {trimmed}.",
            {"oldest": str(trimmed + 1)},
        )


def _page(connection: sqlite3.Connection, position: int, *, max_bytes: int) -> list[StoredEvent]:
    page: list[StoredEvent] = []
    size = 0
    for row in connection.execute(
        "SELECT sequence, conversation_id, payload FROM events WHERE sequence > ?"
        " ORDER BY sequence LIMIT ?",
        (position, _PAGE_EVENTS),
    ):
        page.append(StoredEvent(*row))
        size += len(page[-1].payload)
        if size >= max_bytes:
            break
    return page
