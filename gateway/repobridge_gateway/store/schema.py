"""The tables of the gateway's store, as migrations that `PRAGMA user_version` counts.

Snowflakes are integers here, as they sort; enum columns hold the member's name; times are seconds
since the epoch. A migration that is released is never edited: a change is a new one.
"""

from __future__ import annotations

from repobridge_gateway.store.ledgertables import LEDGER

_FIRST = (
    """
    CREATE TABLE messages (
        message_id INTEGER PRIMARY KEY,
        bridge TEXT NOT NULL,
        conversation TEXT NOT NULL,
        channel INTEGER NOT NULL,
        state TEXT NOT NULL,
        version INTEGER NOT NULL DEFAULT 1,
        is_taken INTEGER NOT NULL DEFAULT 0,
        wish TEXT NOT NULL DEFAULT 'NONE',
        is_told INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        gap_id INTEGER NOT NULL DEFAULT 0,
        is_unmarked INTEGER NOT NULL DEFAULT 0,
        message_json TEXT NOT NULL,
        changed_at REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX messages_waiting ON messages (bridge, conversation, message_id)"
    " WHERE state IN ('HELD', 'READY')",
    "CREATE INDEX messages_submitted ON messages (bridge) WHERE state = 'SUBMITTED'",
    "CREATE INDEX messages_wished ON messages (bridge) WHERE wish <> 'NONE'",
    "CREATE INDEX messages_held ON messages (channel) WHERE state IN ('HELD', 'READY')",
    "CREATE INDEX messages_expired ON messages (gap_id) WHERE state = 'EXPIRED'",
    "CREATE INDEX messages_unmarked ON messages (message_id) WHERE is_unmarked = 1",
    "CREATE INDEX messages_by_change ON messages (changed_at)",
    """
    CREATE TABLE cursors (
        channel INTEGER PRIMARY KEY,
        position INTEGER NOT NULL
    ) STRICT
    """,
    # AUTOINCREMENT: the id of a gap that is gone names its expired messages, and never another's.
    """
    CREATE TABLE gaps (
        gap_id INTEGER PRIMARY KEY AUTOINCREMENT,
        channel INTEGER NOT NULL UNIQUE,
        round INTEGER NOT NULL DEFAULT 1,
        bridge TEXT NOT NULL,
        conversation TEXT NOT NULL,
        reason TEXT NOT NULL,
        begins_after INTEGER NOT NULL,
        filled_through INTEGER NOT NULL,
        is_complete INTEGER NOT NULL DEFAULT 0,
        filled INTEGER NOT NULL DEFAULT 0,
        expired INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE INDEX gaps_by_conversation ON gaps (bridge, conversation)",
    # `since_*` is the end of what had been delivered before this piece; empty: of no log.
    """
    CREATE TABLE sends (
        send_id INTEGER PRIMARY KEY AUTOINCREMENT,
        bridge TEXT NOT NULL,
        turn TEXT NOT NULL,
        piece INTEGER NOT NULL,
        nonce TEXT NOT NULL UNIQUE,
        channel INTEGER NOT NULL,
        reply_to TEXT NOT NULL,
        payload TEXT NOT NULL,
        since_log TEXT NOT NULL,
        since_sequence INTEGER NOT NULL,
        state TEXT NOT NULL DEFAULT 'PENDING',
        tries INTEGER NOT NULL DEFAULT 0,
        tried_boot TEXT,
        tried_seconds REAL,
        message_id INTEGER,
        reason TEXT NOT NULL DEFAULT '',
        changed_at REAL NOT NULL,
        UNIQUE (bridge, turn, piece)
    ) STRICT
    """,
    "CREATE INDEX sends_open ON sends (channel, send_id) WHERE state IN ('PENDING', 'TRYING')",
    "CREATE INDEX sends_by_change ON sends (changed_at)",
    """
    CREATE TABLE files (
        send_id INTEGER NOT NULL REFERENCES sends,
        ordinal INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (send_id, ordinal)
    ) STRICT
    """,
    """
    CREATE TABLE delivered (
        bridge TEXT PRIMARY KEY,
        log_id TEXT NOT NULL,
        sequence INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE lives (
        bridge TEXT NOT NULL,
        turn TEXT NOT NULL,
        channel INTEGER NOT NULL,
        nonce TEXT NOT NULL UNIQUE,
        message_id INTEGER,
        made_at REAL NOT NULL,
        begun_boot TEXT,
        begun_seconds REAL,
        is_over INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (bridge, turn)
    ) STRICT
    """,
    """
    CREATE TABLE requests (
        ulid TEXT PRIMARY KEY,
        bridge TEXT NOT NULL,
        request_id TEXT NOT NULL,
        conversation TEXT NOT NULL,
        kind TEXT NOT NULL,
        channel INTEGER NOT NULL,
        nonce TEXT NOT NULL,
        message_id INTEGER,
        input_sha256 TEXT NOT NULL,
        expires_at REAL,
        is_open INTEGER NOT NULL DEFAULT 1,
        has_buttons INTEGER NOT NULL DEFAULT 1,
        winner INTEGER,
        changed_at REAL NOT NULL,
        UNIQUE (bridge, request_id)
    ) STRICT
    """,
    "CREATE INDEX requests_open ON requests (bridge) WHERE is_open = 1",
    "CREATE INDEX requests_stale ON requests (ulid) WHERE is_open = 0 AND has_buttons = 1",
    "CREATE INDEX requests_by_nonce ON requests (nonce)",
    "CREATE INDEX requests_by_change ON requests (changed_at)",
    """
    CREATE TABLE clicks (
        interaction_id INTEGER PRIMARY KEY,
        ulid TEXT NOT NULL,
        person_json TEXT NOT NULL,
        verdict TEXT NOT NULL,
        state TEXT NOT NULL,
        changed_at REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX clicks_won ON clicks (interaction_id) WHERE state = 'WON'",
    "CREATE INDEX clicks_by_change ON clicks (changed_at)",
)

# The pieces of one bridge that keep its log from being acknowledged.
_ACKS = (
    "CREATE INDEX sends_unacked ON sends (bridge, since_log, since_sequence)"
    " WHERE state IN ('PENDING', 'TRYING') AND since_log <> ''",
)

# Threads that are to be opened, each with its first prompt, which waits in `messages`; and up to
# when the archived threads of a channel were listed, as Discord tells the time.
_THREADS = (
    """
    CREATE TABLE openings (
        thread INTEGER PRIMARY KEY,
        starter INTEGER NOT NULL UNIQUE,
        channel INTEGER NOT NULL,
        bridge TEXT NOT NULL,
        title TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE listings (
        channel INTEGER PRIMARY KEY,
        archived_through TEXT NOT NULL
    ) STRICT
    """,
)

# Where in its bridge's log the turn of a live message begins; empty: of no log.
_TURNS = (
    "ALTER TABLE lives ADD COLUMN read_log TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE lives ADD COLUMN read_sequence INTEGER NOT NULL DEFAULT 0",
)

# The last message of somebody else's that was known in the channel when a piece was first tried.
_SEARCHES = ("ALTER TABLE sends ADD COLUMN tried_after INTEGER NOT NULL DEFAULT 0",)

MIGRATIONS = (_FIRST, _ACKS, _THREADS, LEDGER, _TURNS, _SEARCHES)
"""Each entry brings a database from version i to i + 1."""
