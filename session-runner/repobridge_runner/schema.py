"""The tables of a runner's journal, as migrations that `PRAGMA user_version` counts.

Enum columns hold the member's name; times are seconds since the epoch; `*_json` is UTF-8 JSON.
A migration that is released is never edited: a change is a new one.
"""

from __future__ import annotations

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    # `payload` is the serialized wire event, whole; the other columns are for finding it.
    """
    CREATE TABLE events (
        sequence INTEGER PRIMARY KEY,
        at REAL NOT NULL,
        conversation_id TEXT NOT NULL,
        session_id TEXT NOT NULL,
        turn_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        size INTEGER NOT NULL,
        payload BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE consumers (
        name TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        at REAL NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE messages (
        message_id TEXT PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        ordinal INTEGER NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        text TEXT NOT NULL DEFAULT '',
        author_json TEXT NOT NULL DEFAULT '{}',
        attachments_json TEXT NOT NULL DEFAULT '[]',
        prompt TEXT NOT NULL DEFAULT '',
        transcript_offset INTEGER,
        turn_id TEXT NOT NULL DEFAULT '',
        session_id TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        submitted_at REAL NOT NULL,
        changed_at REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX messages_by_conversation ON messages (conversation_id, state, ordinal)",
    "CREATE INDEX messages_by_change ON messages (changed_at)",
    """
    CREATE TABLE sessions (
        conversation_id TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        session_id TEXT NOT NULL,
        state TEXT NOT NULL,
        model TEXT NOT NULL DEFAULT '',
        permission_mode TEXT NOT NULL DEFAULT '',
        working_dir TEXT NOT NULL DEFAULT '',
        branch TEXT NOT NULL DEFAULT '',
        base_commit TEXT NOT NULL DEFAULT '',
        transcript_path TEXT NOT NULL DEFAULT '',
        open_turn_id TEXT NOT NULL DEFAULT '',
        open_turn_json TEXT NOT NULL DEFAULT '',
        resume_attempts INTEGER NOT NULL DEFAULT 0,
        usage_json TEXT NOT NULL DEFAULT '{}',
        created_at REAL NOT NULL,
        last_activity REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE requests (
        request_id TEXT PRIMARY KEY,
        conversation_id TEXT NOT NULL,
        turn_id TEXT NOT NULL DEFAULT '',
        kind TEXT NOT NULL,
        sequence INTEGER NOT NULL DEFAULT 0,
        input_sha256 TEXT NOT NULL DEFAULT '',
        payload_json TEXT NOT NULL DEFAULT '{}',
        expires_at REAL,
        outcome TEXT,
        by_json TEXT,
        resolved_at REAL
    ) STRICT
    """,
    "CREATE INDEX requests_open ON requests (conversation_id) WHERE outcome IS NULL",
    "CREATE INDEX requests_by_end ON requests (resolved_at) WHERE resolved_at IS NOT NULL",
)

MIGRATIONS = (_FIRST,)
"""Each entry brings a database from version i to i + 1."""
