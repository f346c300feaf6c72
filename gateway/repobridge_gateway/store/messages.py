"""The rows of people's messages, read and written whole: `inbox` says what becomes of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from repobridge_gateway.inbox import InboxState, Kept, Wish
from repobridge_gateway.store.chatjson import message_from_json, message_to_json
from repobridge_gateway.store.database import Transaction

COLUMNS = (
    "message_json, bridge, conversation, state, version, is_taken, wish, is_told, reason, gap_id"
)


def kept_of(row: Sequence[Any]) -> Kept:
    """The message of a row of `COLUMNS`."""
    return Kept(
        message=message_from_json(row[0]),
        bridge=row[1],
        conversation=row[2],
        state=InboxState[row[3]],
        version=row[4],
        is_taken=bool(row[5]),
        wish=Wish[row[6]],
        is_told=bool(row[7]),
        reason=row[8],
        group=row[9],
    )


def find(source: Transaction | sqlite3.Connection, message_id: str) -> Kept | None:
    """The message of an id."""
    row = source.execute(
        f"SELECT {COLUMNS} FROM messages WHERE message_id = ?", (int(message_id),)
    ).fetchone()
    return kept_of(row) if row else None


def select(
    source: Transaction | sqlite3.Connection, where: str, parameters: Sequence[object] = ()
) -> list[Kept]:
    """Messages, as they were written."""
    rows = source.execute(
        f"SELECT {COLUMNS} FROM messages WHERE {where} ORDER BY message_id", parameters
    )
    return [kept_of(row) for row in rows]


def put(transaction: Transaction, kept: Kept) -> None:
    """Adds a message; its receipt is shown as soon as there is something to be done with it."""
    waits = kept.state in {InboxState.HELD, InboxState.READY}
    transaction.execute(
        "INSERT INTO messages (message_id, channel, is_unmarked, message_json, bridge,"
        " conversation, state, version, is_taken, wish, is_told, reason, gap_id, changed_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            int(kept.message_id),
            int(kept.message.place.channel_id),
            int(waits),
            message_to_json(kept.message),
            kept.bridge,
            kept.conversation,
            kept.state.name,
            kept.version,
            int(kept.is_taken),
            kept.wish.name,
            int(kept.is_told),
            kept.reason,
            kept.group,
            transaction.now,
        ),
    )


def save(transaction: Transaction, before: Kept, after: Kept) -> bool:
    """Writes what became of a message; False where nothing did."""
    if before == after:
        return False
    revived = before.state is InboxState.EXPIRED and after.state is InboxState.READY
    over = after.state in {InboxState.WITHDRAWN, InboxState.REFUSED}
    transaction.execute(
        "UPDATE messages SET state = ?, version = ?, is_taken = ?, wish = ?, is_told = ?,"
        " reason = ?, is_unmarked = (is_unmarked OR ?) AND NOT ?, changed_at = ?"
        " WHERE message_id = ?",
        (
            after.state.name,
            after.version,
            int(after.is_taken),
            after.wish.name,
            int(after.is_told),
            after.reason,
            int(revived),
            int(over),
            transaction.now,
            int(after.message_id),
        ),
    )
    if after.message != before.message:
        transaction.execute(
            "UPDATE messages SET message_json = ? WHERE message_id = ?",
            (message_to_json(after.message), int(after.message_id)),
        )
    return True


def change(
    transaction: Transaction, message_id: str, step: Callable[[Kept], Kept]
) -> tuple[Kept, Kept] | None:
    """Takes one step with a message: what it was and is; None for one that is not there."""
    before = find(transaction, message_id)
    if before is None:
        return None
    after = step(before)
    save(transaction, before, after)
    return before, after


def move_cursor(transaction: Transaction, channel: int, position: int) -> None:
    """Moves a channel's cursor forward; the caller knows that there is no gap."""
    transaction.execute(
        "INSERT INTO cursors (channel, position) VALUES (?, ?)"
        " ON CONFLICT (channel) DO UPDATE SET position = max(position, excluded.position)",
        (channel, position),
    )


def has_gap(transaction: Transaction, channel: int) -> bool:
    """Whether messages of a channel were missed."""
    return transaction.one("SELECT 1 FROM gaps WHERE channel = ?", (channel,)) is not None
