"""The files of a database: its lock, its two connections, and the steps of its schema."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from repobridge.errors import RepoBridgeError

_WAL_KEPT_BYTES = 8 << 20


@dataclass(eq=False)
class LockedError(RepoBridgeError):
    """Another process holds the lock; `pid` is "unknown" where it did not say."""

    pid: str

    def __str__(self) -> str:
        return f"process {self.pid} holds the lock"


class NewerSchemaError(Exception):
    """The database was written by a later version of this program."""

    def __init__(self, version: int, *, known: int) -> None:
        super().__init__(f"it has schema version {version}, this program knows {known}")


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """What is held open for one database."""

    lock: int
    writer: sqlite3.Connection
    reader: sqlite3.Connection

    def close(self) -> None:
        """Closes both connections, then lets the lock go."""
        self.reader.close()
        self.writer.close()
        os.close(self.lock)


def take_lock(path: Path) -> int:
    """Locks a file, which then names this process; raises LockedError while another has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise LockedError(holder) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def check(path: Path) -> None:
    """Reads a database whole; raises sqlite3.DatabaseError where a page of it is damaged."""
    with closing(_connect(path, mode="rw")) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({' '.join(verdict.split())})")


def reader_connection(path: Path) -> sqlite3.Connection:
    """A connection that can't write."""
    return _connect(path, mode="ro")


def writer_connection(path: Path, *, migrations: Sequence[Sequence[str]]) -> sqlite3.Connection:
    """The connection that writes, each commit on disk before it returns; makes and migrates."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = _connect(path, mode="rw")
    try:
        _version(connection, migrations)  # a newer file is refused before anything is written
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts before the first table only
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        migrate(connection, migrations)
    except BaseException:
        connection.close()  # or its lock would stay until somebody collects the error
        raise
    return connection


def migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Brings a database to the present version, one transaction a step.

    `PRAGMA user_version` counts: entry i of the migrations leads from version i to i + 1.
    """
    version = _version(connection, migrations)
    for target, statements in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {target}")
        connection.execute("COMMIT")


def _version(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise NewerSchemaError(version, known=len(migrations))
    return int(version)


def _connect(path: Path, *, mode: str) -> sqlite3.Connection:
    # Each connection is used by one thread at a time, but opened and closed in others.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection
