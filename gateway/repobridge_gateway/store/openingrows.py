"""Threads that are still to be opened in SQLite, each with the prompt that waits for it."""

from __future__ import annotations

from collections.abc import Sequence

from repobridge_gateway import inbox
from repobridge_gateway.chat import ChatMessage
from repobridge_gateway.inbox import InboxState, Kept
from repobridge_gateway.starters import stands_at
from repobridge_gateway.store import messages, sends
from repobridge_gateway.store.database import Database, Transaction
from repobridge_gateway.store.port import Opening, Say


class SqliteOpenings:
    """An `OpeningStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, starter: ChatMessage, *, bridge: str, title: str) -> bool:
        """Keeps the first prompt of a thread that is to be opened."""

        def act(transaction: Transaction) -> bool:
            if messages.find(transaction, starter.message_id) is not None:
                return False
            thread_id = starter.place.channel_id
            kept = Kept(
                message=starter, bridge=bridge, conversation=thread_id, state=InboxState.READY
            )
            messages.put(transaction, kept)
            transaction.execute(
                "INSERT INTO openings (thread, starter, channel, bridge, title)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    int(thread_id),
                    int(starter.message_id),
                    int(stands_at(starter)[0]),
                    bridge,
                    title,
                ),
            )
            return True

        return await self._database.write(act)

    async def waiting(self) -> Sequence[Opening]:
        """The threads that are to be opened."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT thread, starter, channel, bridge, title FROM openings ORDER BY thread"
            ).fetchall()
        )
        return [
            Opening(
                thread_id=str(thread),
                starter_id=str(starter),
                channel_id=str(channel),
                bridge=bridge,
                title=title,
            )
            for thread, starter, channel, bridge, title in rows
        ]

    async def opened(self, opening: Opening) -> None:
        """Lets the prompt go, and takes its message out of the channel's session."""

        def act(transaction: Transaction) -> None:
            if _end(transaction, opening):
                messages.change(transaction, opening.thread_id, inbox.moved)

        await self._database.write(act)

    async def refused(self, opening: Opening, *, say: Say = ()) -> None:
        """Forgets the prompt: its message stays what it was in the channel."""

        def act(transaction: Transaction) -> None:
            if _end(transaction, opening):
                transaction.execute(
                    "DELETE FROM messages WHERE message_id = ?", (int(opening.starter_id),)
                )
                sends.add(transaction, opening.bridge, say)

        await self._database.write(act)


def _end(transaction: Transaction, opening: Opening) -> bool:
    ended = transaction.execute("DELETE FROM openings WHERE thread = ?", (int(opening.thread_id),))
    return ended.rowcount > 0
