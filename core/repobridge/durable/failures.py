"""What SQLite's errors mean: the disk, the file, somebody else's lock, or the statement itself."""

from __future__ import annotations

import sqlite3

_DISK_FULL = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # EDQUOT: SQLite tells only ENOSPC apart
    sqlite3.SQLITE_IOERR_FSYNC,  # ENOSPC where blocks are allocated late
    sqlite3.SQLITE_IOERR_SHMSIZE,  # the shared index of the WAL could not grow
)
_STORAGE_FAILED = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
)


def is_disk_full(error: BaseException) -> bool:
    """Whether this is SQLite's word for a disk without room."""
    return getattr(error, "sqlite_errorcode", None) in _DISK_FULL


def is_storage_failure(error: BaseException) -> bool:
    """Whether the file or its disk is at fault, and not the statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _STORAGE_FAILED


def is_busy(error: BaseException) -> bool:
    """Whether another program held the database longer than a connection waits."""
    return bool(getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY)
