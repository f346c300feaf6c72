"""The rows of pieces on their way, of live messages, and of how far logs were delivered."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from repobridge.session.events import Cursor
from repobridge_gateway.outbox import Due, Live, Outgoing, Sending, SendState
from repobridge_gateway.steady import Steady
from repobridge_gateway.store.database import Transaction

OPEN = "('PENDING', 'TRYING')"
# A cursor that a clock has made, and not Discord, is only about as old as it says.
_CURSOR = (
    "coalesce((SELECT position FROM cursors AS c WHERE c.channel = sends.channel"
    f" AND position & {(1 << 22) - 1} <> 0), 0)"
)


def add(
    transaction: Transaction,
    bridge: str,
    pieces: Sequence[Outgoing],
    *,
    since: Cursor | None = None,
) -> None:
    """Keeps pieces that are new; `since` is the end of what was delivered before them."""
    since = since or Cursor()
    for piece in pieces:
        added = transaction.execute(
            "INSERT OR IGNORE INTO sends (bridge, turn, piece, nonce, channel, reply_to, payload,"
            " since_log, since_sequence, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                bridge,
                piece.turn,
                piece.index,
                piece.nonce,
                int(piece.channel_id),
                piece.reply_to,
                piece.payload,
                since.log_id,
                since.sequence,
                transaction.now,
            ),
        )
        if added.rowcount:
            for ordinal, data in enumerate(piece.files):
                transaction.execute(
                    "INSERT INTO files VALUES (?, ?, ?)", (added.lastrowid, ordinal, data)
                )


def reached(source: Transaction | sqlite3.Connection, bridge: str) -> Cursor | None:
    """Up to where a bridge's log was turned into pieces."""
    row = source.execute(
        "SELECT log_id, sequence FROM delivered WHERE bridge = ?", (bridge,)
    ).fetchone()
    return Cursor(*row) if row else None


def reach(transaction: Transaction, bridge: str, cursor: Cursor) -> None:
    """Notes up to where a bridge's log was turned into pieces."""
    transaction.execute(
        "INSERT INTO delivered VALUES (?, ?, ?) ON CONFLICT (bridge) DO UPDATE SET"
        " log_id = excluded.log_id, sequence = excluded.sequence",
        (bridge, cursor.log_id, cursor.sequence),
    )


def due(connection: sqlite3.Connection, limit: int) -> list[Due]:
    """The first open piece of each channel, the oldest first."""
    rows = connection.execute(
        f"SELECT min(send_id), bridge, channel, state, tried_boot, tried_seconds FROM sends"
        f" WHERE state IN {OPEN} GROUP BY channel ORDER BY 1 LIMIT ?",
        (limit,),
    )
    return [
        Due(
            send_id=row[0],
            bridge=row[1],
            channel_id=str(row[2]),
            state=SendState[row[3]],
            tried=_steady(row[4], row[5]),
        )
        for row in rows
    ]


def sending(source: Transaction | sqlite3.Connection, send_id: int) -> Sending | None:
    """An open piece whole."""
    row = source.execute(
        "SELECT bridge, tries, turn, piece, nonce, channel, payload, reply_to FROM sends"
        f" WHERE send_id = ? AND state IN {OPEN}",
        (send_id,),
    ).fetchone()
    if row is None:
        return None
    files = source.execute("SELECT data FROM files WHERE send_id = ? ORDER BY ordinal", (send_id,))
    piece = Outgoing(
        turn=row[2],
        index=row[3],
        nonce=row[4],
        channel_id=str(row[5]),
        payload=row[6],
        reply_to=row[7],
        files=tuple(data for (data,) in files),
    )
    return Sending(send_id=send_id, bridge=row[0], tries=row[1], piece=piece)


def searched(connection: sqlite3.Connection, send_id: int) -> Sending | None:
    """An open piece whole, with what surely stood in its channel before it."""
    found = sending(connection, send_id)
    if found is None:
        return None
    # A channel's pieces are sent one at a time: what has arrived did so before this was tried.
    (known,) = connection.execute(
        "SELECT max(tried_after, coalesce((SELECT max(message_id) FROM sends AS s WHERE"
        " s.channel = sends.channel AND s.state = 'DONE' AND s.send_id < sends.send_id), 0))"
        " FROM sends WHERE send_id = ?",
        (send_id,),
    ).fetchone()
    return replace(found, after=str(known))


def begin(transaction: Transaction, send_id: int, now: Steady) -> Sending | None:
    """Notes that a piece is sent from now on; of a repeated send the first one counts."""
    transaction.execute(
        "UPDATE sends SET tries = tries + 1, changed_at = ?,"
        " tried_boot = iif(state = 'PENDING', ?, tried_boot),"
        " tried_seconds = iif(state = 'PENDING', ?, tried_seconds),"
        f" tried_after = iif(state = 'PENDING', {_CURSOR}, tried_after), state = 'TRYING'"
        f" WHERE send_id = ? AND state IN {OPEN}",
        (transaction.now, now.boot_id, now.seconds, send_id),
    )
    return sending(transaction, send_id)


def end(
    transaction: Transaction, send_id: int, state: SendState, *, message_id: str = "", reason: str
) -> None:
    """Closes an open piece: its files are of no use any more, and its buttons have a place."""
    closed = transaction.one(
        "UPDATE sends SET state = ?, message_id = ?, reason = ?, changed_at = ?"
        f" WHERE send_id = ? AND state IN {OPEN} RETURNING nonce",
        (state.name, int(message_id) if message_id else None, reason, transaction.now, send_id),
    )
    if closed is None:
        return
    transaction.execute("DELETE FROM files WHERE send_id = ?", (send_id,))
    transaction.execute(
        "UPDATE requests SET message_id = ?, has_buttons = ? WHERE nonce = ?",
        (int(message_id) if message_id else None, int(state is SendState.DONE), closed[0]),
    )


def open_of_nonce(transaction: Transaction, nonce: str) -> tuple[int, str] | None:
    """The open piece with a nonce, and its bridge."""
    row = transaction.one(
        f"SELECT send_id, bridge FROM sends WHERE nonce = ? AND state IN {OPEN}", (nonce,)
    )
    return (int(row[0]), str(row[1])) if row else None


def open_places(connection: sqlite3.Connection, bridge: str) -> tuple[Cursor, ...]:
    """From where in its logs the open pieces of a bridge came."""
    rows = connection.execute(
        "SELECT since_log, min(since_sequence) FROM sends"
        f" WHERE bridge = ? AND state IN {OPEN} AND since_log <> '' GROUP BY since_log",
        (bridge,),
    )
    return tuple(Cursor(log_id, sequence) for log_id, sequence in rows)


def put_live(transaction: Transaction, live: Live) -> None:
    """Keeps a live message, in the place of the turn's former one."""
    begun = live.begun
    transaction.execute(
        "INSERT OR REPLACE INTO lives VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            live.bridge,
            live.turn,
            int(live.channel_id),
            live.nonce,
            int(live.message_id) if live.message_id else None,
            live.made_at,
            begun.boot_id if begun else None,
            begun.seconds if begun else None,
            int(live.is_over),
            live.read_from.log_id,
            live.read_from.sequence,
        ),
    )


def lives(connection: sqlite3.Connection) -> list[Live]:
    """Every live message."""
    rows = connection.execute("SELECT * FROM lives ORDER BY made_at, turn")
    return [_live(row) for row in rows]


def _live(row: Sequence[Any]) -> Live:
    return Live(
        bridge=row[0],
        turn=row[1],
        channel_id=str(row[2]),
        nonce=row[3],
        message_id=str(row[4] or ""),
        made_at=row[5],
        begun=_steady(row[6], row[7]),
        is_over=bool(row[8]),
        read_from=Cursor(row[9], row[10]),
    )


def _steady(boot_id: str | None, seconds: float | None) -> Steady | None:
    return Steady(boot_id, seconds) if boot_id is not None and seconds is not None else None


def lose_channel(transaction: Transaction, channel: int, *, reason: str) -> tuple[str, ...]:
    """Gives up everything that is on its way into a channel; whose it was."""
    rows = transaction.execute(
        f"SELECT send_id, bridge FROM sends WHERE channel = ? AND state IN {OPEN}", (channel,)
    ).fetchall()
    for send_id, _ in rows:
        end(transaction, send_id, SendState.LOST, reason=reason)
    return tuple(sorted({bridge for _, bridge in rows}))
