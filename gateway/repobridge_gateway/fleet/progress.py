"""How far the gateway has read a runner's log, and which work was open there.

Kept in a file, so that work that a killed `serve` left open is taken up when it starts again, and
so that who follows a sleeping bridge misses nothing of its next wake.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from repobridge.errors import Refusal
from repobridge.session.events import (
    Cursor,
    Event,
    MessageChanged,
    MessageState,
    TurnEnded,
    TurnOpened,
)
from repobridge_gateway.places import write_whole

_WAITING = frozenset({MessageState.QUEUED, MessageState.PASTING, MessageState.OPEN})


@dataclass(frozen=True, slots=True)
class Progress:
    """A place in a log, and the work that is open there."""

    cursor: Cursor = field(default_factory=Cursor)
    messages: frozenset[str] = frozenset()
    """Accepted and not ended."""
    turns: frozenset[str] = frozenset()

    @property
    def has_work(self) -> bool:
        """True while something has been asked and not answered."""
        return bool(self.messages or self.turns)

    def after(self, event: Event) -> Progress:
        """The progress once an event has been read."""
        moved = replace(self, cursor=Cursor(event.log_id, event.sequence))
        match event.body:
            case MessageChanged(message_id=message, state=state):
                others = self.messages - {message}
                waits = state in _WAITING
                return replace(moved, messages=others | {message} if waits else others)
            case TurnOpened():
                return replace(moved, turns=self.turns | {event.turn_id})
            case TurnEnded():
                return replace(moved, turns=self.turns - {event.turn_id})
        return moved

    def submitted(self, message_id: str) -> Progress:
        """The progress once a runner has accepted a message."""
        return replace(self, messages=self.messages | {message_id})

    def corrected(self, refusal: Refusal) -> Progress | None:
        """The progress to go on with where a log refused this one; None: not for that reason."""
        cursor = corrected_cursor(self.cursor, refusal)
        if cursor is None:
            return None
        # Another log's work is not ours to wait for.
        return Progress(cursor) if refusal.reason == "FOREIGN_LOG" else replace(self, cursor=cursor)


def corrected_cursor(cursor: Cursor, refusal: Refusal) -> Cursor | None:
    """Where to read on when a log refused a cursor; None where the refusal is not about that."""
    match refusal.reason:
        case "FOREIGN_LOG":
            return Cursor(refusal.params.get("log_id", ""), 0)
        case "SEQUENCE_TRIMMED":
            return Cursor(cursor.log_id, max(0, int(refusal.params.get("oldest", "1")) - 1))
        case "SEQUENCE_IN_FUTURE":
            return Cursor(cursor.log_id, int(refusal.params.get("last", "0")))
    return None


def load(path: Path) -> Progress:
    """What a file remembers; nothing, where it can't be read."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Progress(
            Cursor(str(raw["log_id"]), int(raw["sequence"])),
            frozenset(map(str, raw["messages"])),
            frozenset(map(str, raw["turns"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Progress()


def save(progress: Progress, path: Path) -> None:
    """Makes a file remember."""
    write_whole(
        path,
        json.dumps(
            {
                "log_id": progress.cursor.log_id,
                "sequence": progress.cursor.sequence,
                "messages": sorted(progress.messages),
                "turns": sorted(progress.turns),
            }
        ),
        durable=False,
    )
