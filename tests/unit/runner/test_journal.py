"""The journal: order, group commit, isolation of acts, the lock, and what opening refuses."""

import asyncio
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from repobridge.errors import Refusal, Status
from repobridge.session import codec, events
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.journal import Journal, JournalError, StoredEvent, Transaction

NOW = 1_700_000_000.5
HOLD_LOCK = """
import asyncio, sys
from pathlib import Path
from repobridge_runner.journal import Journal

async def main():
    journal = await Journal.open(Path(sys.argv[1]))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await journal.close()

asyncio.run(main())
"""


def delta(text: str) -> events.Event:
    return events.Event(events.TextDelta("block", markdown=text), conversation_id="main")


def texts(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    rows = connection.execute("SELECT sequence, payload FROM events ORDER BY sequence")
    return [(sequence, pb.Event.FromString(raw).text_delta.markdown) for sequence, raw in rows]


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "state", clock=lambda: NOW, reserve_bytes=4096)
    yield journal
    await journal.close()


async def test_concurrent_writers_get_gapless_sequences_in_the_order_of_their_calls(
    journal: Journal,
) -> None:
    async def write(number: int) -> int:
        return await journal.write(lambda t: t.append(delta(str(number))))

    sequences = await asyncio.gather(*(write(number) for number in range(2000)))

    assert sequences == list(range(1, 2001))
    assert await journal.read(texts) == [(n + 1, str(n)) for n in range(2000)]


async def test_acts_that_wait_share_a_commit(journal: Journal) -> None:
    before = journal.commits
    release = threading.Event()
    first = asyncio.create_task(journal.write(lambda _: release.wait(60)))
    rest = [asyncio.create_task(journal.write(lambda t: t.append(delta("x")))) for _ in range(100)]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(first, *rest)
    assert journal.commits - before <= 2


async def test_a_failing_act_is_undone_and_harms_no_other_of_its_commit(journal: Journal) -> None:
    def fail(transaction: Transaction) -> None:
        transaction.append(delta("gone"))
        transaction.execute("INSERT INTO meta VALUES ('gone', '')")
        raise LookupError("on purpose")

    results = await asyncio.gather(
        journal.write(lambda t: t.append(delta("before"))),
        journal.write(fail),
        journal.write(lambda t: t.execute("INSERT INTO meta VALUES ('log_id', 'second')")),
        journal.write(lambda t: t.append(delta("after"))),
        return_exceptions=True,
    )

    assert [results[0], results[3]] == [1, 2]
    assert isinstance(results[1], LookupError)
    assert isinstance(results[2], sqlite3.IntegrityError)
    assert await journal.read(texts) == [(1, "before"), (2, "after")]
    kept = await journal.read(lambda c: c.execute("SELECT key FROM meta").fetchall())
    assert kept == [("log_id",)]


async def test_an_event_is_stored_as_the_wire_has_it(journal: Journal) -> None:
    event = events.Event(events.TextDelta("block", 3, "hi"), "main", "session", 2, "turn")
    await journal.write(lambda t: t.append(event))

    row = await journal.read(lambda c: c.execute("SELECT * FROM events").fetchone())

    payload = row[7]
    assert row[:7] == (1, NOW, "main", "session", "turn", "TextDelta", len(payload))
    assert codec.event_from_pb(pb.Event.FromString(payload)) == events.Event(
        event.body, "main", "session", 2, "turn", journal.log_id, 1, NOW
    )


async def test_listeners_see_events_after_their_commit_and_before_the_writer(
    journal: Journal,
) -> None:
    heard: list[list[StoredEvent]] = []
    journal.on_commit(lambda stored: heard.append(list(stored)))

    def two(transaction: Transaction) -> list[list[StoredEvent]]:
        transaction.append(delta("a"))
        transaction.append(delta("b"))
        return list(heard)

    assert await journal.write(two) == []
    assert [[each.sequence for each in stored] for stored in heard] == [[1, 2]]


async def test_a_cancelled_caller_leaves_its_act_in_place(journal: Journal) -> None:
    release = threading.Event()
    first = asyncio.create_task(journal.write(lambda _: release.wait(60)))
    cancelled = asyncio.create_task(journal.write(lambda t: t.append(delta("kept"))))
    await asyncio.sleep(0)
    cancelled.cancel()
    release.set()
    await asyncio.gather(first, cancelled, return_exceptions=True)
    await journal.write(lambda t: t.append(delta("next")))
    assert cancelled.cancelled()
    assert await journal.read(texts) == [(1, "kept"), (2, "next")]


async def test_when_too_many_wait_the_next_waits_for_its_place(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, waiting=2, reserve_bytes=4096)
    release = threading.Event()
    started: list[int] = []

    def note(number: int) -> bool:
        started.append(number)
        return release.wait(60)

    async def write(number: int) -> bool:
        return await journal.write(lambda _: note(number))

    writes = [asyncio.create_task(write(number)) for number in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(journal.close())
    release.set()
    await asyncio.gather(*writes)
    await closing
    assert started == [0, 1, 2, 3, 4]


async def test_a_long_read_holds_no_writer_up_and_sees_one_snapshot(journal: Journal) -> None:
    release = threading.Event()

    def slow(connection: sqlite3.Connection) -> tuple[int, int]:
        (before,) = connection.execute("SELECT count(*) FROM events").fetchone()
        assert release.wait(60)
        (after,) = connection.execute("SELECT count(*) FROM events").fetchone()
        return before, after

    reading = asyncio.create_task(journal.read(slow))
    await asyncio.sleep(0)
    await journal.write(lambda t: t.append(delta("x")))
    release.set()
    before, after = await reading
    assert before == after


async def test_readers_cannot_write(journal: Journal) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await journal.read(lambda c: c.execute("DELETE FROM meta"))


async def test_close_keeps_everything_and_can_be_called_again(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path, reserve_bytes=4096)
    writes = [asyncio.create_task(journal.write(lambda t: t.append(delta("x")))) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(journal.close(), journal.close())
    await journal.close()
    assert [task.result() for task in writes] == list(range(1, 51))
    with pytest.raises(Refusal) as refused:
        await journal.write(lambda t: t.append(delta("late")))
    assert (refused.value.status, refused.value.reason) == (Status.UNAVAILABLE, "STOPPING")

    again = await Journal.open(tmp_path, reserve_bytes=4096)
    assert again.log_id == journal.log_id
    assert again.state_at_open.last_sequence == 50
    await again.close()


async def test_two_directories_have_two_logs_private_to_their_owner(tmp_path: Path) -> None:
    one = await Journal.open(tmp_path / "one", reserve_bytes=4096)
    two = await Journal.open(tmp_path / "two", reserve_bytes=4096)
    assert one.log_id != two.log_id
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "one").iterdir()}
    assert modes == {0o600}
    await one.close()
    await two.close()


async def test_a_second_process_on_the_directory_refuses_until_the_first_is_gone(
    tmp_path: Path,
) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", HOLD_LOCK, str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"

    with pytest.raises(Refusal) as refused:
        await Journal.open(tmp_path)

    assert refused.value.status is Status.FAILED_PRECONDITION
    assert refused.value.reason == "WORKSPACE_LOCKED"
    assert refused.value.params == {"pid": str(holder.pid)}
    assert f"process {holder.pid}" in refused.value.message
    holder.kill()
    await holder.wait()
    journal = await Journal.open(tmp_path)
    await journal.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (b"\0" * 4096, "not a database"),
        (b"SQLite format 3\0" + b"\xff" * 8176, "not a database"),
    ],
)
async def test_a_damaged_journal_is_refused_and_kept(
    tmp_path: Path, damage: bytes, words: str
) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(damage)
    for _ in range(2):  # the lock is let go each time
        with pytest.raises(JournalError, match=words) as failed:
            await Journal.open(tmp_path)
        assert str(path) in str(failed.value)
    assert path.read_bytes() == damage


async def test_a_page_that_is_damaged_later_fails_its_readers_and_nobody_else(
    tmp_path: Path,
) -> None:
    journal = await Journal.open(tmp_path)
    for _ in range(20):
        await journal.write(lambda t: t.append(delta("x" * 50_000)))
    await journal.close()
    path = tmp_path / "journal.sqlite"
    content = bytearray(path.read_bytes())
    page = content.index(b"x" * 4000) // 4096 * 4096  # an overflow page of the first event
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)

    journal = await Journal.open(tmp_path)
    with pytest.raises(Refusal) as reading:
        await journal.read(texts)
    with pytest.raises(Refusal) as writing:
        await journal.write(lambda t: t.execute("SELECT max(payload) FROM events"))
    assert [reading.value.reason, writing.value.reason] == ["JOURNAL_FAILED"] * 2
    assert await journal.write(lambda t: t.append(delta("goes on"))) == 21
    await journal.close()


async def test_a_journal_of_a_later_version_is_refused_and_kept(tmp_path: Path) -> None:
    journal = await Journal.open(tmp_path)
    await journal.close()
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    later.close()
    before = path.read_bytes()

    with pytest.raises(JournalError, match="schema version 99"):
        await Journal.open(tmp_path)

    assert path.read_bytes() == before


async def test_the_database_is_set_up_to_survive_power_loss_and_to_shrink(
    journal: Journal,
) -> None:
    def pragmas(transaction: Transaction) -> list[object]:
        names = ("journal_mode", "synchronous", "auto_vacuum", "user_version")
        return [transaction.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await journal.write(pragmas) == ["wal", 2, 2, 1]


async def test_the_directory_must_be_usable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file"):
        await Journal.open(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]
