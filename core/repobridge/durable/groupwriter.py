"""A thread that commits the acts that wait, together, in their order.

One act that fails is found by halves and harms no other of its commit. What an act sees of the
database, and what a full disk means to it, is the subclass's.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from repobridge.durable.failures import is_busy

_GROUP_ACTS = 512
"""Acts that share one commit at most."""


@dataclass(slots=True, eq=False)
class Act:
    """An act that waits for its commit, and then what came of it."""

    run: Callable[[Any], Any]
    ticket: Any
    is_essential: bool = False
    result: Any = None
    error: BaseException | None = None
    view: Any = None
    """What the act saw and did, where it was kept."""


Deliver = Callable[[Sequence[Act]], None]


class GroupWriter:
    """Runs acts in a thread of its own and says, a group at a time, what came of them."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        name: str,
        deliver: Deliver,
        stopped: Callable[[], None],
    ) -> None:
        self.commits = 0
        self._connection = connection
        self._deliver = deliver
        self._stopped = stopped
        self._queue: SimpleQueue[Act | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins to take acts."""
        self._thread.start()

    def put(self, act: Act) -> None:
        """Queues an act; the caller bounds how many wait."""
        self._queue.put(act)

    def stop(self) -> None:
        """Ends the thread after everything that was put before."""
        self._queue.put(None)

    def _perform(self, act: Act) -> Any:
        """Runs one act and sets its result; returns its view."""
        raise NotImplementedError

    def _failure(self, error: BaseException) -> BaseException:
        """The error as callers hear it."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """Called before each group."""

    def _begun(self) -> None:
        """Called when a transaction is to begin: what the last one left undone is forgotten."""

    def _committed(self) -> None:
        """Called when a transaction is on disk."""

    def _made_room(self, act: Act, error: BaseException) -> bool:
        """Whether an act that failed alone is worth another try."""
        return False

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            if group:
                self._prepare()
                self._commit(group)
                self._deliver(group)
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
        if len(group) > 1 and not is_busy(error):
            # One act failed, or is what does not fit: halves find it, and the others keep order.
            middle = len(group) // 2
            self._commit(group[:middle])
            self._commit(group[middle:])
            return
        if len(group) == 1 and self._made_room(group[0], error):
            error = self._try(group)
        if error is not None:
            for act in group:
                act.error = self._failure(error)
                act.view = None

    def _try(self, group: list[Act]) -> BaseException | None:
        """Commits the acts together; None, or the error for which nothing of them was kept.

        As few statements as can be, and no savepoints: each lets go of the interpreter, and gets
        it back late from a busy event loop.
        """
        self._begun()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for act in group:
                act.view = self._perform(act)
            self._connection.commit()
        except BaseException as error:
            with suppress(sqlite3.Error):  # then the next BEGIN fails, and says so to its callers
                self._connection.rollback()
            return error
        self.commits += 1
        self._committed()
        return None
