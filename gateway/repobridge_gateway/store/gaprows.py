"""Gaps and cursors of channels in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from repobridge_gateway import inbox
from repobridge_gateway.chat import ChatMessage
from repobridge_gateway.inbox import InboxState, Kept
from repobridge_gateway.starters import STARTER_BIT, starter_id
from repobridge_gateway.store import messages, sends
from repobridge_gateway.store.database import Database, Transaction
from repobridge_gateway.store.port import NOTHING_SEEN, Closed, Gap, Say

_GAP = (
    "gap_id, round, channel, bridge, conversation, reason, filled_through, is_complete, filled,"
    " expired"
)


# A first prompt of a thread stands elsewhere, in the thread's parent.
_STANDING = (
    "state IN ('HELD', 'READY')"
    f" AND message_id <> (channel | {STARTER_BIT}) - (channel & {STARTER_BIT})"
)


class SqliteGaps:
    """A `GapStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_gap(
        self, channel_id: str, *, bridge: str, conversation: str, reason: str, first: str
    ) -> Gap:
        """Holds a channel's messages until history has filled it."""

        def act(transaction: Transaction) -> Gap:
            channel = int(channel_id)
            row = transaction.one("SELECT position FROM cursors WHERE channel = ?", (channel,))
            after = row[0] if row else int(first)
            messages.move_cursor(transaction, channel, after)
            (oldest,) = transaction.one(
                f"SELECT min(message_id) FROM messages WHERE {_STANDING} AND channel = ?",
                (channel,),
            )
            opened = (channel, bridge, conversation, reason, after)
            _open(transaction, opened, reread_after=oldest - 1 if oldest else None)
            return _gap(_one(transaction, channel))

        return await self._database.write(act)

    async def distrust(self) -> None:
        """Opens the gap of every channel in which messages wait."""

        def act(transaction: Transaction) -> None:
            rows = transaction.execute(
                "SELECT channel, bridge, conversation, min(message_id) FROM messages"
                f" WHERE {_STANDING} GROUP BY channel"
            ).fetchall()
            for channel, bridge, conversation, oldest in rows:
                opened = (channel, bridge, conversation, "restarted", oldest - 1)
                _open(transaction, opened, reread_after=oldest - 1)

        await self._database.write(act)

    async def waiting(self, channel_id: str) -> Mapping[str, int]:
        """The messages that stand in a channel and wait, with their versions."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                f"SELECT message_id, version FROM messages WHERE {_STANDING} AND channel = ?",
                (int(channel_id),),
            ).fetchall()
        )
        return {str(message_id): version for message_id, version in rows}

    async def fill(
        self,
        gap: Gap,
        page: Sequence[ChatMessage],
        *,
        through: str,
        is_last: bool,
        seen: Mapping[str, int] = NOTHING_SEEN,
        gone: Collection[str] = (),
    ) -> Gap | None:
        """Keeps a page of history."""

        def act(transaction: Transaction) -> Gap | None:
            row = _one(transaction, int(gap.channel_id))
            if row is None or not _is_same(gap, _gap(row)):
                return None
            now = _gap(row)
            filled, expired = now.filled, now.expired
            for message in inbox.in_order(page):
                state = _keep(transaction, now, message, already=filled, seen=seen)
                filled += state is InboxState.HELD
                expired += state is InboxState.EXPIRED
            for message_id in gone:
                _take_back(transaction, message_id, seen=seen[message_id])
            transaction.execute(
                "UPDATE gaps SET filled_through = max(filled_through, ?), is_complete = ?,"
                " filled = ?, expired = ? WHERE gap_id = ?",
                (int(through or 0), int(is_last), filled, expired, gap.gap_id),
            )
            return _gap(_one(transaction, int(gap.channel_id)))

        return await self._database.write(act)

    async def close_gap(self, gap: Gap, *, say: Say = ()) -> Closed | None:
        """Lets held messages go and moves the cursor."""

        def act(transaction: Transaction) -> Closed | None:
            channel = int(gap.channel_id)
            row = _one(transaction, channel)
            if row is None or not _is_same(gap, _gap(row)) or not _gap(row).is_complete:
                return None
            (newest,) = transaction.one(
                "SELECT max(message_id) FROM messages WHERE channel = ? AND state = 'HELD'",
                (channel,),
            )
            released = transaction.execute(
                "UPDATE messages SET state = 'READY', changed_at = ?"
                " WHERE channel = ? AND state = 'HELD'",
                (transaction.now, channel),
            )
            messages.move_cursor(transaction, channel, max(newest or 0, int(_gap(row).after)))
            transaction.execute("DELETE FROM gaps WHERE channel = ?", (channel,))
            sends.add(transaction, gap.bridge, say)
            return Closed(ready=released.rowcount, expired=_gap(row).expired)

        return await self._database.write(act)

    async def gaps(self) -> Sequence[Gap]:
        """Every gap."""
        return await self._database.read(
            lambda connection: [
                _gap(row) for row in connection.execute(f"SELECT {_GAP} FROM gaps ORDER BY gap_id")
            ]
        )

    async def archived_through(self, channel_id: str) -> str:
        """When the last thread was archived that a whole listing showed."""

        def query(connection: sqlite3.Connection) -> str:
            row = connection.execute(
                "SELECT archived_through FROM listings WHERE channel = ?", (int(channel_id),)
            ).fetchone()
            return row[0] if row else ""

        return await self._database.read(query)

    async def listed(self, channel_id: str, *, archived_through: str) -> None:
        """Notes that the archived threads of a channel were listed."""

        def act(transaction: Transaction) -> None:
            transaction.execute(
                "INSERT INTO listings (channel, archived_through) VALUES (?, ?)"
                " ON CONFLICT (channel) DO UPDATE SET archived_through = excluded.archived_through",
                (int(channel_id), archived_through),
            )

        await self._database.write(act)

    async def cursor(self, channel_id: str) -> str:
        """Up to which message everything of a channel was received."""

        def query(connection: sqlite3.Connection) -> str:
            row = connection.execute(
                "SELECT position FROM cursors WHERE channel = ?", (int(channel_id),)
            ).fetchone()
            return str(row[0]) if row else ""

        return await self._database.read(query)


def _open(
    transaction: Transaction, opened: tuple[int, str, str, str, int], *, reread_after: int | None
) -> None:
    # What was filled before a second miss was read from history, and stays filled; only what waits
    # is read again.
    *begins, after = opened
    again = after if reread_after is None else min(after, reread_after)
    transaction.execute(
        "INSERT INTO gaps (channel, bridge, conversation, reason, begins_after, filled_through)"
        " VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (channel) DO UPDATE SET round = round + 1, is_complete = 0,"
        " reason = excluded.reason, bridge = excluded.bridge,"
        " conversation = excluded.conversation,"
        " begins_after = min(begins_after, excluded.begins_after),"
        " filled_through = min(filled_through, coalesce(?, filled_through))",
        (*begins, again, again, reread_after),
    )


def _keep(
    transaction: Transaction,
    gap: Gap,
    message: ChatMessage,
    *,
    already: int,
    seen: Mapping[str, int],
) -> InboxState | None:
    """Keeps a message of history; the state of one that is new."""
    known = messages.find(transaction, message.message_id)
    if known is not None:
        version = seen.get(message.message_id, 0)
        messages.save(transaction, known, inbox.reread(known, message, seen=version))
        return None
    if messages.find(transaction, starter_id(message.message_id)) is not None:
        return None  # its thread has it
    is_run = inbox.is_within_catch_up(message.message_id, now=transaction.now, already=already)
    state = InboxState.HELD if is_run else InboxState.EXPIRED
    kept = Kept(
        message=message,
        bridge=gap.bridge,
        conversation=gap.conversation,
        state=state,
        group=0 if is_run else gap.gap_id,
    )
    messages.put(transaction, kept)
    return state


def _take_back(transaction: Transaction, message_id: str, *, seen: int) -> None:
    kept = messages.find(transaction, message_id)
    if kept is not None and kept.version == seen:
        messages.save(transaction, kept, inbox.deleted(kept)[0])


def _is_same(gap: Gap, other: Gap) -> bool:
    return (gap.gap_id, gap.round) == (other.gap_id, other.round)


def _one(transaction: Transaction, channel: int) -> Any:
    return transaction.one(f"SELECT {_GAP} FROM gaps WHERE channel = ?", (channel,))


def _gap(row: Sequence[Any]) -> Gap:
    return Gap(
        gap_id=row[0],
        round=row[1],
        channel_id=str(row[2]),
        bridge=row[3],
        conversation=row[4],
        reason=row[5],
        after=str(row[6]),
        is_complete=bool(row[7]),
        filled=row[8],
        expired=row[9],
    )
