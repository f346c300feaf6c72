"""Pieces on their way, and live messages, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from repobridge.session.events import Cursor
from repobridge_gateway import inbox
from repobridge_gateway.limits import bookkeeping
from repobridge_gateway.outbox import Due, Live, Reached, Sending, SendState, is_news
from repobridge_gateway.steady import Steady
from repobridge_gateway.store import messages, requests, sends
from repobridge_gateway.store.database import Database, Transaction
from repobridge_gateway.store.ledgerrows import book_of
from repobridge_gateway.store.port import Delivery, Say


class SqliteOutbox:
    """An `OutboxStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def deliver(self, delivery: Delivery) -> bool:
        """Keeps what a log says."""

        def act(transaction: Transaction) -> bool:
            reached = sends.reached(transaction, delivery.bridge)
            if not is_news(reached, delivery.cursor):
                return False
            is_same_log = reached is not None and reached.log_id == delivery.cursor.log_id
            since = reached if is_same_log else Cursor(delivery.cursor.log_id, 0)
            sends.add(transaction, delivery.bridge, delivery.pieces, since=since)
            sends.reach(transaction, delivery.bridge, delivery.cursor)
            _end_messages(transaction, delivery)
            if delivery.spending is not None:
                bookkeeping.spend(book_of(transaction), delivery.spending)
            for asked in delivery.asked:
                requests.add(transaction, asked)
            for request_id in delivery.resolved:
                requests.resolve(transaction, delivery.bridge, request_id)
            for turn in delivery.turns_over:
                transaction.execute(
                    "UPDATE lives SET is_over = 1 WHERE bridge = ? AND turn = ?",
                    (delivery.bridge, turn),
                )
            return True

        return await self._database.write(act)

    async def say(self, bridge: str, pieces: Say) -> None:
        """Keeps pieces that are in no log."""
        await self._database.write(lambda transaction: sends.add(transaction, bridge, pieces))

    async def due(self, *, limit: int = 1000) -> Sequence[Due]:
        """The first open piece of each channel."""
        return await self._database.read(lambda connection: sends.due(connection, limit))

    async def begin(self, send_id: int, *, now: Steady) -> Sending | None:
        """Notes that a piece is sent from now on."""
        return await self._database.write(
            lambda transaction: sends.begin(transaction, send_id, now), essential=True
        )

    async def sending(self, send_id: int) -> Sending | None:
        """A piece, to search for."""
        return await self._database.read(lambda connection: sends.searched(connection, send_id))

    async def sent(self, send_id: int, *, message_id: str) -> None:
        """Notes the message that a piece has become."""
        await self._end(send_id, SendState.DONE, message_id=message_id)

    async def not_sent(self, send_id: int) -> None:
        """Notes that a piece did not arrive."""

        def act(transaction: Transaction) -> None:
            transaction.execute(
                "UPDATE sends SET state = 'PENDING', changed_at = ?"
                " WHERE send_id = ? AND state = 'TRYING'",
                (transaction.now, send_id),
            )

        await self._database.write(act, essential=True)

    async def lost(self, send_id: int, *, reason: str) -> None:
        """Gives a piece up."""
        await self._end(send_id, SendState.LOST, reason=reason)

    async def seen_own(self, nonce: str, *, message_id: str) -> str:
        """Notes a message of ours that stands in a channel."""

        def act(transaction: Transaction) -> str:
            live = transaction.one(
                "UPDATE lives SET message_id = ? WHERE nonce = ? AND message_id IS NULL"
                " RETURNING bridge",
                (int(message_id), nonce),
            )
            piece = sends.open_of_nonce(transaction, nonce)
            if piece is not None:
                sends.end(transaction, piece[0], SendState.DONE, message_id=message_id, reason="")
                return piece[1]
            return str(live[0]) if live else ""

        return await self._database.write(act, essential=True)

    async def delivered(self, bridge: str) -> Cursor | None:
        """From where to read a bridge's log on."""
        return await self._database.read(lambda connection: sends.reached(connection, bridge))

    async def ack(self, bridge: str) -> Cursor | None:
        """The furthest place in a bridge's log that may be acknowledged."""

        def query(connection: sqlite3.Connection) -> Cursor | None:
            reached = sends.reached(connection, bridge)
            if reached is None:
                return None
            return Reached(reached, sends.open_places(connection, bridge)).ack()

        return await self._database.read(query)

    async def counts(self) -> Mapping[str, int]:
        """How many pieces are in each state."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT state, count(*) FROM sends GROUP BY state"
            ).fetchall()
        )
        found = dict(rows)
        return {state.name: found.get(state.name, 0) for state in SendState}

    async def put_live(self, live: Live) -> None:
        """Keeps a turn's live message."""
        await self._database.write(lambda transaction: sends.put_live(transaction, live))

    async def live_sent(self, bridge: str, turn: str, *, message_id: str) -> None:
        """Notes the id of a live message."""
        await self._run(
            "UPDATE lives SET message_id = ? WHERE bridge = ? AND turn = ?",
            (int(message_id), bridge, turn),
        )

    async def drop_live(self, bridge: str, turn: str) -> None:
        """Forgets a live message after its last edit."""
        await self._run("DELETE FROM lives WHERE bridge = ? AND turn = ?", (bridge, turn))

    async def lives(self) -> Sequence[Live]:
        """Every live message."""
        return await self._database.read(sends.lives)

    async def _end(
        self, send_id: int, state: SendState, *, message_id: str = "", reason: str = ""
    ) -> None:
        await self._database.write(
            lambda transaction: sends.end(
                transaction, send_id, state, message_id=message_id, reason=reason
            ),
            essential=True,
        )

    async def _run(self, sql: str, parameters: Sequence[object]) -> None:
        def act(transaction: Transaction) -> None:
            transaction.execute(sql, parameters)

        await self._database.write(act)


def _end_messages(transaction: Transaction, delivery: Delivery) -> None:
    for message_id in delivery.ended:
        messages.change(transaction, message_id, inbox.ended)
    for message_id in delivery.withdrawn:
        messages.change(transaction, message_id, inbox.withdrawn)
