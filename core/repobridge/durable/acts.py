"""The front of a durable database on an event loop: acts are awaited, reads hold nobody up."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from repobridge.durable.failures import is_busy, is_storage_failure
from repobridge.durable.files import OpenFiles
from repobridge.durable.groupwriter import Act, Deliver, GroupWriter
from repobridge.errors import Refusal

T = TypeVar("T")
View = TypeVar("View")


class DurableActs(Generic[View]):
    """Durable acts on one SQLite file, from one event loop; `View` is what an act is given."""

    def __init__(self, files: OpenFiles, *, waiting: int, name: str) -> None:
        self._files = files
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(waiting)
        self._writer_stopped = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._readers = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-reader")
        self._writer = self._make_writer(self._deliver_from_thread, self._stopped_from_thread)
        self._writer.start()

    @property
    def commits(self) -> int:
        """How many commits were made since it was opened."""
        return self._writer.commits

    async def write(self, act: Callable[[View], T], *, essential: bool = False) -> T:
        """Runs an act in the writer thread and returns its result once that is on disk.

        Acts take effect in the order of the calls. One that raises is undone and raises here; the
        others of its commit are not touched. It may run several times, as a commit that failed is
        tried again in halves: let it have no effect but through its transaction. Cancelling
        the caller does not take the act back. On a full disk Refusal DISK_FULL; where space is
        kept in reserve, an essential act may use it. When too many wait, it waits for its place.
        """
        if self._closing is not None:
            raise self._stopping()
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

    def _make_writer(self, deliver: Deliver, stopped: Callable[[], None]) -> GroupWriter:
        """The writer of this database, not started."""
        raise NotImplementedError

    def _stopping(self) -> Refusal:
        """What a write hears after `close`."""
        raise NotImplementedError

    def _failure(self, error: BaseException) -> BaseException:
        """The error of a read as its caller hears it."""
        raise NotImplementedError

    def _committed(self, acts: Sequence[Act]) -> None:
        """Called on the loop with the acts of a commit, before their callers hear of it."""

    def _put(self, act: Callable[[View], T], essential: bool) -> asyncio.Future[T]:
        ticket: asyncio.Future[T] = self._loop.create_future()
        self._writer.put(Act(act, ticket, essential))
        return ticket

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        reader = self._files.reader
        reader.execute("BEGIN")
        try:
            return query(reader)
        except sqlite3.Error as error:
            if is_storage_failure(error) or is_busy(error):
                raise self._failure(error) from error
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
        self._files.close()

    def _deliver_from_thread(self, acts: Sequence[Act]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, acts)
        except RuntimeError:  # the loop was closed under us: nobody is left to tell
            pass

    def _stopped_from_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._writer_stopped.set)

    def _deliver(self, acts: Sequence[Act]) -> None:
        self._committed(acts)
        for act in acts:
            self._slots.release()
            if act.ticket.done():
                continue
            if act.error is not None:
                act.ticket.set_exception(act.error)
            else:
                act.ticket.set_result(act.result)
