"""The websocket gateway as a test handles it: what is open and counted, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from tests.fakes.discord.changes import Changes
from tests.fakes.discord.sessions import Session, Sessions

if TYPE_CHECKING:
    from tests.fakes.discord.connection import Connection


class Wires:
    """All sockets, their sessions, and the faults that a test puts on them."""

    def __init__(
        self,
        changes: Changes,
        sessions: Sessions,
        *,
        heartbeat_seconds: float,
        identify_seconds: float,
    ) -> None:
        self.changes = changes
        self.sessions = sessions
        self.heartbeat_seconds = heartbeat_seconds
        self.identify_seconds = identify_seconds
        self.identified_at: float | None = None
        self.connections: list[Connection] = []
        self.heartbeats = 0
        self.identifies = 0
        self.refused_resumes = 0
        self.refused_identifies = 0
        self.withholds_acks = False
        self.refuses_resume = False
        self.refuses_sockets = False
        self.dispatches = asyncio.Event()
        self.dispatches.set()

    @property
    def connected(self) -> list[Session]:
        """Sessions that a socket serves now."""
        return self.sessions.connected

    @property
    def resumes(self) -> int:
        """How many RESUMEs of the sessions that still are have worked."""
        return sum(session.resumes for session in self.sessions.all.values())

    async def cut(self, code: int | None = None) -> None:
        """End all sockets, with a close code or without a word."""
        for connection in list(self.connections):
            if code is None:
                connection.cut()
            else:
                await connection.close(code, "cut by the test")

    def ask_to_reconnect(self) -> None:
        """Send op 7 to all."""
        for connection in self.connections:
            connection.ask_to_reconnect()

    def ask_for_heartbeats(self) -> None:
        """Send op 1 to all."""
        for connection in self.connections:
            connection.ask_for_heartbeat()

    def invalidate(self, *, is_resumable: bool) -> None:
        """Send op 9 to all."""
        for connection in self.connections:
            connection.invalidate(is_resumable=is_resumable)

    def forget_sessions(self) -> None:
        """Let no session be resumed that has no socket now."""
        gone = [item for item in self.sessions.all.values() if not item.is_connected]
        for session in gone:
            del self.sessions.all[session.id]

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold all dispatches back, in order, until the end."""
        self.dispatches.clear()
        try:
            yield
        finally:
            self.dispatches.set()

    @contextlib.asynccontextmanager
    async def outage(self, *, loses_events: bool = True) -> AsyncIterator[None]:
        """No socket for a while; what happens meanwhile is lost, else it waits for a RESUME."""
        self.refuses_sockets = True
        self.sessions.is_offline = loses_events
        await self.cut()
        try:
            yield
        finally:
            if loses_events:
                self.forget_sessions()
            self.sessions.is_offline = False
            self.refuses_sockets = False
            self.changes.note()
