"""What an act on the journal may do: append events, and run SQL, in one transaction."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from repobridge.session import codec, events


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as the log holds it: its place, and the serialized wire event."""

    sequence: int
    conversation_id: str
    payload: bytes


class Transaction:
    """The view that one act has of the journal; valid only while the act runs."""

    def __init__(
        self, connection: sqlite3.Connection, *, log_id: str, last_sequence: int, now: float
    ) -> None:
        self.now = now
        self.is_essential = False
        self.appended: list[StoredEvent] = []
        self._connection = connection
        self._log_id = log_id
        self._last_sequence = last_sequence

    def append(self, event: events.Event) -> int:
        """Adds an event, with the next sequence and the present time; returns the sequence.

        Subscribers see it after the commit. A `TurnEnded` makes the whole act essential: it may
        use the space that is kept for a full disk.
        """
        sequence = self._last_sequence + len(self.appended) + 1
        event = dataclasses.replace(event, log_id=self._log_id, sequence=sequence, at=self.now)
        payload = codec.event_to_pb(event).SerializeToString()
        self._connection.execute(
            "INSERT INTO events (sequence, at, conversation_id, session_id, turn_id, kind, size,"
            " payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sequence,
                self.now,
                event.conversation_id,
                event.session_id,
                event.turn_id,
                type(event.body).__name__,
                len(payload),
                payload,
            ),
        )
        if isinstance(event.body, events.TurnEnded):
            self.is_essential = True
        self.appended.append(StoredEvent(sequence, event.conversation_id, payload))
        return sequence

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> sqlite3.Cursor:
        """Runs one statement in the transaction."""
        return self._connection.execute(sql, parameters)
