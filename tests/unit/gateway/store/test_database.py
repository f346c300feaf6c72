"""The store's file: whose it is, how it fails, and what it forgets."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
import threading
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from repobridge.errors import Refusal, Status
from repobridge.session.events import Cursor
from repobridge_gateway.inbox import InboxState
from repobridge_gateway.outbox import Live
from repobridge_gateway.store import trimming
from repobridge_gateway.store.database import Database, StoreError, Transaction
from repobridge_gateway.store.port import Delivery
from repobridge_gateway.store.schema import MIGRATIONS
from repobridge_gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.chats import (
    BRIDGE,
    CHANNEL,
    NOW,
    OTHER_BRIDGE,
    Clock,
    message,
    open_store,
    piece,
    snowflake,
)
from tests.unit.gateway.store.test_clickrows import ASKED, click

DAY = 24 * 3600.0
HOLD = """
import asyncio, sys
from pathlib import Path
from repobridge_gateway.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await store.close()

asyncio.run(main())
"""


async def receive(store: SqliteStore, number: int) -> None:
    await store.inbox.receive(message(number), bridge=BRIDGE, conversation="main")


async def test_many_receipts_share_a_commit_and_keep_their_order(store: SqliteStore) -> None:
    before = store.commits
    await asyncio.gather(*(receive(store, number) for number in range(1, 1001)))
    assert store.commits - before < 100
    queue = await store.inbox.queue(BRIDGE, "main")
    assert [w.kept.message_id for w in queue] == [snowflake(n) for n in range(1, 1001)]


async def test_reads_do_not_wait_for_the_writer(tmp_path: Path) -> None:
    database = await Database.open(tmp_path, clock=Clock(), waiting=10)
    release = threading.Event()
    writing = asyncio.create_task(database.write(lambda _: release.wait(120)))
    count = await database.read(
        lambda connection: connection.execute("SELECT count(*) FROM messages").fetchone()
    )
    release.set()
    assert await writing
    assert count == (0,)
    await database.close()


async def test_the_store_is_private_and_survives_power_loss(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "store", clock=Clock(), waiting=10)

    def pragmas(transaction: Transaction) -> list[object]:
        names = ("journal_mode", "synchronous", "auto_vacuum", "user_version")
        return [transaction.one(f"PRAGMA {name}")[0] for name in names]

    assert await database.write(pragmas) == ["wal", 2, 2, len(MIGRATIONS)]
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").iterdir()} == {0o600}
    await database.close()


async def test_a_second_gateway_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", HOLD, str(tmp_path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"open\n"

    with pytest.raises(Refusal) as refused:
        await open_store(tmp_path)

    assert (refused.value.status, refused.value.reason, refused.value.params) == (
        Status.FAILED_PRECONDITION,
        "STORE_LOCKED",
        {"pid": str(holder.pid)},
    )
    assert f"process {holder.pid}" in refused.value.message
    holder.kill()
    await holder.wait()
    store = await open_store(tmp_path)
    await store.close()


async def test_a_closed_store_takes_nothing(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    await store.close()
    with pytest.raises(Refusal) as refused:
        await receive(store, 1)
    assert (refused.value.status, refused.value.reason) == (Status.UNAVAILABLE, "STORE_CLOSED")


@pytest.mark.parametrize(
    "damage", [b"\0" * 4096, b"SQLite format 3\0" + b"\xff" * 8176], ids=["zeros", "garbage"]
)
async def test_a_damaged_store_is_refused_and_kept(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "gateway.sqlite"
    path.write_bytes(damage)
    for _ in range(2):  # the lock is let go each time, and nothing is made anew
        with pytest.raises(StoreError, match="not a database") as failed:
            await open_store(tmp_path)
        assert str(path) in str(failed.value)
    assert path.read_bytes() == damage


async def test_a_page_that_is_damaged_is_found_at_the_start(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    for number in range(1, 200):
        await receive(store, number)
    await store.close()
    path = tmp_path / "gateway.sqlite"
    content = bytearray(path.read_bytes())
    page = content.index(b"message 100") // 4096 * 4096
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)

    with pytest.raises(StoreError, match="left as it is"):
        await open_store(tmp_path)

    assert path.read_bytes() == content


async def test_a_store_of_a_later_version_is_refused_and_kept(tmp_path: Path) -> None:
    await (await open_store(tmp_path)).close()
    path = tmp_path / "gateway.sqlite"
    with closing(sqlite3.connect(path)) as later:
        later.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema version 99"):
        await open_store(tmp_path)
    assert path.read_bytes() == before


async def test_a_store_that_another_program_locks_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", partial(connect, timeout=0.05))
    store = await open_store(tmp_path)
    with closing(connect(tmp_path / "gateway.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        results = await asyncio.gather(
            *(receive(store, number) for number in range(1, 4)), return_exceptions=True
        )
        other.execute("ROLLBACK")
    reasons = {(r.status, r.reason) for r in results if isinstance(r, Refusal)}
    assert (len(results), reasons) == (3, {(Status.UNAVAILABLE, "STORE_BUSY")})
    assert await store.inbox.find(snowflake(1)) is None
    await receive(store, 1)
    await store.close()


async def test_what_was_over_thirty_days_ago_is_forgotten_and_nothing_else(
    store: SqliteStore, clock: Clock
) -> None:
    for number in range(1, 5):
        await receive(store, number)
    await store.inbox.next_for(BRIDGE)
    await store.inbox.submitted(snowflake(1), version=1)
    await store.inbox.delete(CHANNEL, [snowflake(2)])
    delivery = Delivery(
        bridge=BRIDGE,
        cursor=Cursor("log", 1),
        pieces=(piece("a", files=(b"x" * 10_000,)), piece("b", channel="9")),
        ended=(snowflake(1),),
        asked=(ASKED,),
    )
    await store.outbox.deliver(delivery)
    await store.clicks.click(click(1))
    (first, _) = await store.outbox.due()
    await store.outbox.sent(first.send_id, message_id="5")
    await store.outbox.deliver(
        Delivery(bridge=BRIDGE, cursor=Cursor("log", 2), resolved=(ASKED.request_id,))
    )
    clock.now = NOW + 29 * DAY
    assert await store.trim([BRIDGE]) == 0
    await store.inbox.delete(CHANNEL, [snowflake(3)])

    clock.now = NOW + 31 * DAY

    # Messages 1 and 2, the piece that stands, the request, and its click.
    assert await store.trim([BRIDGE]) == 5
    found = [await store.inbox.find(snowflake(number)) for number in range(1, 5)]
    assert [each and each.state for each in found] == [
        None,
        None,
        InboxState.WITHDRAWN,
        InboxState.READY,
    ]
    assert await store.outbox.counts() == {"PENDING": 1, "TRYING": 0, "DONE": 0, "LOST": 0}
    assert await store.outbox.ack(BRIDGE) == Cursor("log", 0)
    assert await store.trim([BRIDGE]) == 0


async def test_what_waits_for_a_bridge_that_is_not_served_is_forgotten_after_thirty_days_too(
    store: SqliteStore, clock: Clock
) -> None:
    for number, bridge in ((1, BRIDGE), (2, OTHER_BRIDGE)):
        await store.inbox.receive(message(number), bridge=bridge, conversation="main")
    gone = Delivery(bridge=OTHER_BRIDGE, cursor=Cursor("log", 1))
    asked = replace(ASKED, ulid=f"{ASKED.ulid[:-1]}X", bridge=OTHER_BRIDGE)
    await store.outbox.deliver(replace(gone, asked=(asked,)))
    await store.outbox.deliver(Delivery(bridge=BRIDGE, cursor=Cursor("log", 1), asked=(ASKED,)))
    for number, each in ((1, ASKED), (2, asked)):
        await store.clicks.click(replace(click(number), ulid=each.ulid))
    live = Live(bridge=BRIDGE, turn="t", channel_id=CHANNEL, nonce="n", made_at=clock.now)
    await store.outbox.put_live(live)
    clock.now += 29 * DAY
    await store.outbox.put_live(replace(live, turn="t2", nonce="n2", made_at=clock.now))
    assert await store.trim([BRIDGE]) == 0
    clock.now += 2 * DAY

    assert await store.trim([]) == 1  # the live message of a turn that nobody follows
    # The other's message, the request, and the click that nobody will carry out.
    assert await store.trim([BRIDGE]) == 3
    assert [each.turn for each in await store.outbox.lives()] == ["t2"]
    assert list(await store.inbox.work()) == [BRIDGE]
    assert [each.ulid for each in await store.clicks.open_requests()] == [ASKED.ulid]
    assert [each.ulid for _, each in await store.clicks.undecided()] == [ASKED.ulid]
    assert await store.outbox.delivered(OTHER_BRIDGE) == gone.cursor


async def test_what_is_forgotten_gives_its_disk_back_in_small_steps(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trimming, "_STEP_ROWS", 10)
    store = await open_store(tmp_path, clock)
    for turn in range(100):
        await store.outbox.say(
            BRIDGE, [piece(f"{turn}", channel=f"{turn}", files=(b"x" * 50_000,))]
        )
    for due in await store.outbox.due():
        await store.outbox.sent(due.send_id, message_id="1")
    clock.now += 31 * DAY
    before = store.commits
    assert await store.trim([BRIDGE]) == 100
    assert store.commits - before > 10
    await store.close()
    assert os.stat(tmp_path / "gateway.sqlite").st_size < 1 << 20
