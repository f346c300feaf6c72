"""The rows of the journal that sessions live by: messages, sessions, the runner's own values.

Functions that take a `Transaction` are meant for `Journal.write`, those that take a connection for
`Journal.read`.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from repobridge.session.events import Actor, MessageKind, MessageState, SessionState
from repobridge_runner.journal import Transaction

_MESSAGE = (
    "message_id, conversation_id, ordinal, kind, state, text, author_json, attachments_json,"
    " prompt, transcript_offset, turn_id, session_id, reason"
)
_SESSION = (
    "conversation_id, generation, session_id, state, model, permission_mode, working_dir, branch,"
    " base_commit, open_turn_json, resume_attempts, usage_json, last_activity"
)


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A submitted message."""

    message_id: str
    conversation_id: str
    ordinal: int
    kind: MessageKind
    state: MessageState
    text: str
    author: Actor
    attachments: tuple[str, ...] = ()
    prompt: str = ""
    transcript_offset: int = 0
    turn_id: str = ""
    session_id: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """What must be known of an open turn after a crash."""

    turn_id: str
    origin: str
    message_id: str
    prompt: str
    transcript_offset: int
    opened_at: float


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A conversation's session."""

    conversation_id: str
    session_id: str
    generation: int = 0
    state: SessionState = SessionState.EXITED
    model: str = ""
    permission_mode: str = ""
    working_dir: str = ""
    branch: str = ""
    base_commit: str = ""
    open_turn: OpenTurn | None = None
    resume_attempts: int = 0
    usage: Mapping[str, int] = dataclasses.field(default_factory=dict)
    last_activity: float = 0.0


def insert_message(transaction: Transaction, message: MessageRow) -> None:
    """Adds a message at the end of its conversation's queue."""
    transaction.execute(
        f"INSERT INTO messages ({_MESSAGE}, submitted_at, changed_at)"
        " SELECT ?, ?, coalesce(max(ordinal), 0) + 1, ?, ?, ?, ?, ?, '', NULL, '', '', '', ?, ?"
        " FROM messages WHERE conversation_id = ?",
        (
            message.message_id,
            message.conversation_id,
            message.kind.name,
            message.state.name,
            message.text,
            json.dumps(dataclasses.asdict(message.author)),
            json.dumps(message.attachments),
            transaction.now,
            transaction.now,
            message.conversation_id,
        ),
    )


def update_message(transaction: Transaction, message_id: str, **columns: object) -> None:
    """Sets columns of a message; enums by their value's name."""
    values = {name: _plain(value) for name, value in columns.items()}
    assignments = ", ".join(f"{name} = ?" for name in values)
    transaction.execute(
        f"UPDATE messages SET {assignments}, changed_at = ? WHERE message_id = ?",
        (*values.values(), transaction.now, message_id),
    )


def find_message(source: Transaction | sqlite3.Connection, message_id: str) -> MessageRow | None:
    """The message of an id."""
    row = source.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE message_id = ?", (message_id,)
    ).fetchone()
    return _message(row) if row else None


def messages_in(
    source: Transaction | sqlite3.Connection, conversation_id: str, *states: MessageState
) -> list[MessageRow]:
    """A conversation's messages in the states, in order."""
    marks = ", ".join("?" * len(states))
    rows = source.execute(
        f"SELECT {_MESSAGE} FROM messages WHERE conversation_id = ? AND state IN ({marks})"
        " ORDER BY ordinal",
        (conversation_id, *(state.name for state in states)),
    )
    return [_message(row) for row in rows]


def put_session(transaction: Transaction, session: SessionRow) -> None:
    """Writes a session's row."""
    turn = session.open_turn
    transaction.execute(
        f"INSERT INTO sessions ({_SESSION}, open_turn_id, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (conversation_id) DO UPDATE SET "
        + ", ".join(
            f"{name} = excluded.{name}" for name in (*_SESSION.split(", "), "open_turn_id")
        ),
        (
            session.conversation_id,
            session.generation,
            session.session_id,
            session.state.name,
            session.model,
            session.permission_mode,
            session.working_dir,
            session.branch,
            session.base_commit,
            json.dumps(dataclasses.asdict(turn)) if turn else "",
            session.resume_attempts,
            json.dumps(dict(session.usage)),
            session.last_activity,
            turn.turn_id if turn else "",
            transaction.now,
        ),
    )


def all_sessions(source: Transaction | sqlite3.Connection) -> list[SessionRow]:
    """Every session of the bridge."""
    return [_session(row) for row in source.execute(f"SELECT {_SESSION} FROM sessions")]


def get_meta(source: Transaction | sqlite3.Connection, key: str) -> Any:
    """A JSON value of the runner's own, or None."""
    row = source.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return json.loads(row[0]) if row else None


def put_meta(transaction: Transaction, key: str, value: Any) -> None:
    """Keeps a JSON value of the runner's own."""
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, json.dumps(value)),
    )


def fork_of(source: Transaction | sqlite3.Connection, session_id: str) -> str:
    """The session whose history a forked one begins with; empty for others."""
    return str(get_meta(source, f"fork of {session_id}") or "")


def put_fork(transaction: Transaction, session_id: str, *, of: str) -> None:
    """Notes that a session begins with another's history."""
    put_meta(transaction, f"fork of {session_id}", of)


def _plain(value: object) -> object:
    if isinstance(value, MessageState):
        return value.name
    return value


def _message(row: Sequence[Any]) -> MessageRow:
    return MessageRow(
        message_id=row[0],
        conversation_id=row[1],
        ordinal=row[2],
        kind=MessageKind[row[3]],
        state=MessageState[row[4]],
        text=row[5],
        author=Actor(**json.loads(row[6])),
        attachments=tuple(json.loads(row[7])),
        prompt=row[8],
        transcript_offset=row[9] or 0,
        turn_id=row[10],
        session_id=row[11],
        reason=row[12],
    )


def _session(row: Sequence[Any]) -> SessionRow:
    return SessionRow(
        conversation_id=row[0],
        generation=row[1],
        session_id=row[2],
        state=SessionState[row[3]],
        model=row[4],
        permission_mode=row[5],
        working_dir=row[6],
        branch=row[7],
        base_commit=row[8],
        open_turn=OpenTurn(**json.loads(row[9])) if row[9] else None,
        resume_attempts=row[10],
        usage=json.loads(row[11]),
        last_activity=row[12],
    )
