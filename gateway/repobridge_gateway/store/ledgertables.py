"""The tables of the ledger of limits.

Times are whole microseconds since the epoch; `expiry` is from when on a row says nothing.
"""

from __future__ import annotations

_USED = (
    "input INTEGER NOT NULL, output INTEGER NOT NULL, cache_read INTEGER NOT NULL,"
    " cache_write INTEGER NOT NULL, micro_usd INTEGER NOT NULL"
)
EXPIRING = ("charges", "limit_states", "accounts", "reservations", "holds", "turns")
"""The tables whose rows expire."""

LEDGER = (
    """
    CREATE TABLE charges (
        message_id TEXT PRIMARY KEY,
        is_granted INTEGER NOT NULL,
        until REAL NOT NULL,
        refused_by TEXT NOT NULL,
        expiry INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE limit_states (
        slot TEXT PRIMARY KEY,
        numbers TEXT NOT NULL,
        expiry INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE accounts (
        slot TEXT PRIMARY KEY,
        begun INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        micro_usd INTEGER NOT NULL,
        expiry INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE TABLE reservations (message_id TEXT PRIMARY KEY, expiry INTEGER NOT NULL) STRICT",
    """
    CREATE TABLE holds (
        message_id TEXT NOT NULL,
        slot TEXT NOT NULL,
        tokens INTEGER NOT NULL,
        micro_usd INTEGER NOT NULL,
        expiry INTEGER NOT NULL,
        PRIMARY KEY (message_id, slot)
    ) STRICT
    """,
    "CREATE INDEX holds_by_slot ON holds (slot)",
    f"""
    CREATE TABLE turns (
        bridge TEXT NOT NULL,
        turn TEXT NOT NULL,
        {_USED},
        expiry INTEGER NOT NULL,
        PRIMARY KEY (bridge, turn)
    ) STRICT
    """,
    f"""
    CREATE TABLE usage (
        guild TEXT NOT NULL,
        day TEXT NOT NULL,
        user_id TEXT NOT NULL,
        bridge TEXT NOT NULL,
        model TEXT NOT NULL,
        turns INTEGER NOT NULL,
        {_USED},
        PRIMARY KEY (guild, day, user_id, bridge, model)
    ) STRICT
    """,
    "CREATE INDEX usage_by_day ON usage (day)",
    *(f"CREATE INDEX {table}_by_expiry ON {table} (expiry)" for table in EXPIRING),
)
"""A migration."""
