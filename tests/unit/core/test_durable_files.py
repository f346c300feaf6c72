"""A database's files: who holds them, how they are brought up, and what is wrong with them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from repobridge.durable import files
from repobridge.durable.files import LockedError, NewerSchemaError

STEPS = [("CREATE TABLE a (x)",), ("ALTER TABLE a ADD COLUMN y", "INSERT INTO a VALUES (1, 2)")]


def test_an_older_database_is_brought_up_step_by_step_and_once(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    files.writer_connection(path, migrations=STEPS[:1]).close()
    for _ in range(2):
        with closing(files.writer_connection(path, migrations=STEPS)) as connection:
            assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]
            assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_step_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        files.writer_connection(path, migrations=[*STEPS[:1], ("CREATE TABLE b (x)", "nonsense")])
    with closing(files.writer_connection(path, migrations=STEPS)) as connection:
        assert connection.execute("SELECT * FROM a").fetchall() == [(1, 2)]


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    files.writer_connection(path, migrations=STEPS).close()
    with pytest.raises(NewerSchemaError, match="schema version 2, this program knows 1"):
        files.writer_connection(path, migrations=STEPS[:1])


def test_a_lock_is_held_once_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = files.take_lock(path)
    with pytest.raises(LockedError) as locked:
        files.take_lock(path)
    assert locked.value.pid == str(os.getpid())
    os.close(first)
    os.close(files.take_lock(path))


def test_a_sound_database_is_sound_and_another_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "sound.sqlite"
    files.writer_connection(path, migrations=STEPS).close()
    files.check(path)
    path.write_bytes(b"no database at all")
    with pytest.raises(sqlite3.DatabaseError):
        files.check(path)
