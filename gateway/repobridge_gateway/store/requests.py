"""The rows of decisions that are asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from repobridge_gateway.clicks import Asked
from repobridge_gateway.store.database import Transaction

COLUMNS = (
    "r.ulid, r.request_id, r.bridge, r.conversation, r.kind, r.channel, r.nonce, r.input_sha256,"
    " r.expires_at, r.message_id"
)
WIDTH = 10


def asked_of(row: Sequence[Any]) -> Asked:
    """The request of a row of `COLUMNS`."""
    return Asked(
        ulid=row[0],
        request_id=row[1],
        bridge=row[2],
        conversation=row[3],
        kind=row[4],
        channel_id=str(row[5]),
        nonce=row[6],
        input_sha256=row[7],
        expires_at=row[8],
        message_id=str(row[9] or ""),
    )


def select(
    source: Transaction | sqlite3.Connection, where: str, parameters: Sequence[object] = ()
) -> list[Asked]:
    """Requests, the oldest first."""
    rows = source.execute(
        f"SELECT {COLUMNS} FROM requests AS r WHERE {where} ORDER BY ulid", parameters
    )
    return [asked_of(row) for row in rows]


def add(transaction: Transaction, asked: Asked) -> None:
    """Keeps a request, once."""
    transaction.execute(
        "INSERT OR IGNORE INTO requests (ulid, bridge, request_id, conversation, kind, channel,"
        " nonce, input_sha256, expires_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            asked.ulid,
            asked.bridge,
            asked.request_id,
            asked.conversation,
            asked.kind,
            int(asked.channel_id),
            asked.nonce,
            asked.input_sha256,
            asked.expires_at,
            transaction.now,
        ),
    )


def resolve(transaction: Transaction, bridge: str, request_id: str) -> None:
    """Ends a request; a click on it has nothing to carry out any more."""
    transaction.execute(
        "UPDATE clicks SET state = 'DONE', changed_at = ? WHERE state = 'WON' AND ulid ="
        " (SELECT ulid FROM requests WHERE bridge = ? AND request_id = ?)",
        (transaction.now, bridge, request_id),
    )
    transaction.execute(
        "UPDATE requests SET is_open = 0, changed_at = ? WHERE bridge = ? AND request_id = ?",
        (transaction.now, bridge, request_id),
    )
