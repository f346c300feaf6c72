"""The event log: replay and follow from any place, acknowledgement, trimming, bounds."""

import asyncio
import os
import time
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from repobridge.errors import Refusal, Status
from repobridge.session import codec, events
from repobridge.session.events import Cursor
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.journal import Journal, Transaction
from repobridge_runner.log import DiskState, EventLog, LogBounds, StoredEvent

DAY = 86_400.0


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def delta(text: str, conversation_id: str = "main") -> events.Event:
    return events.Event(events.TextDelta("block", markdown=text), conversation_id)


def text(stored: StoredEvent) -> str:
    return pb.Event.FromString(stored.payload).text_delta.markdown


async def take(reader: AsyncIterator[StoredEvent], count: int) -> list[StoredEvent]:
    async with asyncio.timeout(60):
        return [await anext(reader) for _ in range(count)]


async def refusal(reader: AsyncIterator[StoredEvent]) -> tuple[Status, str, dict[str, str]]:
    with pytest.raises(Refusal) as refused:
        await take(reader, 1)
    return refused.value.status, refused.value.reason, dict(refused.value.params)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[Journal]:
    journal = await Journal.open(tmp_path / "state", clock=clock, reserve_bytes=4096)
    yield journal
    await journal.close()


@pytest.fixture
def log(journal: Journal, clock: Clock) -> EventLog:
    return EventLog(journal, bounds=LogBounds(), clock=clock)


async def test_a_reader_gets_what_is_stored_and_then_what_happens(log: EventLog) -> None:
    assert (log.oldest_sequence, log.last_sequence, log.acked_sequence) == (1, 0, None)
    assert await log.append(delta("a"), delta("b"), delta("c")) == 3
    reader = log.subscribe(Cursor(log.log_id, 1))

    assert [text(each) for each in await take(reader, 2)] == ["b", "c"]
    waiting = asyncio.create_task(take(reader, 2))
    await log.append(delta("d"))
    await log.append(delta("e"))

    assert [(each.sequence, text(each)) for each in await waiting] == [(4, "d"), (5, "e")]


async def test_a_log_that_is_closed_lets_its_readers_go_after_its_last_event(log: EventLog) -> None:
    await log.append(delta("a"), delta("b"))
    behind, waiting = log.subscribe(Cursor()), log.subscribe(Cursor(), from_now=True)
    assert [text(each) for each in await take(behind, 1)] == ["a"]
    ending = asyncio.create_task(refusal(waiting))
    await asyncio.sleep(0)
    log.close()
    stopping = (Status.UNAVAILABLE, "STOPPING", dict[str, str]())
    assert await ending == stopping
    assert [text(each) for each in await take(behind, 1)] == ["b"]
    assert await refusal(behind) == stopping


async def test_the_payload_is_the_wire_event_with_its_place(log: EventLog, clock: Clock) -> None:
    event = events.Event(events.Notice(events.Severity.INFO, "Compacted"), "main", "s", 3, "t")
    await log.append(event)

    (stored,) = await take(log.subscribe(Cursor()), 1)

    assert codec.event_from_pb(pb.Event.FromString(stored.payload)) == events.Event(
        event.body, "main", "s", 3, "t", log.log_id, 1, clock.now
    )


async def test_from_now_skips_what_was_committed_before_the_call(log: EventLog) -> None:
    await log.append(delta("old"))
    reader = log.subscribe(Cursor("ignored", 99), from_now=True)
    await log.append(delta("new"))
    assert [text(each) for each in await take(reader, 1)] == ["new"]


async def test_a_filtered_reader_gets_its_conversations_and_the_runners_own(log: EventLog) -> None:
    for number in range(300):
        await log.append(delta(f"a{number}", "a"))
    await log.append(delta("b", "b"), delta("runner", ""), delta("c", "c"))
    reader = log.subscribe(Cursor(), conversation_ids=frozenset({"b", "c"}))
    assert [text(each) for each in await take(reader, 3)] == ["b", "runner", "c"]


async def test_cursors_that_do_not_fit_are_refused(log: EventLog) -> None:
    await log.append(delta("a"))
    foreign = (Status.FAILED_PRECONDITION, "FOREIGN_LOG", {"log_id": log.log_id})
    future = (Status.OUT_OF_RANGE, "SEQUENCE_IN_FUTURE", {"last": "1"})

    assert await refusal(log.subscribe(Cursor("another", 0))) == foreign
    assert await refusal(log.subscribe(Cursor(log.log_id, 2))) == future
    for cursor, reason in (
        (Cursor("another", 1), "FOREIGN_LOG"),
        (Cursor("", 1), "FOREIGN_LOG"),
        (Cursor(log.log_id, 2), "SEQUENCE_IN_FUTURE"),
    ):
        with pytest.raises(Refusal) as refused:
            await log.ack("gateway", cursor)
        assert refused.value.reason == reason
    assert log.acked_sequence is None


async def test_acks_never_go_back_and_the_slowest_consumer_counts(
    log: EventLog, journal: Journal, clock: Clock
) -> None:
    await log.append(*(delta(str(n)) for n in range(5)))
    assert await log.ack("gateway", Cursor(log.log_id, 4)) == Cursor(log.log_id, 4)
    assert await log.ack("gateway", Cursor(log.log_id, 2)) == Cursor(log.log_id, 4)
    assert log.acked_sequence == 4
    assert await log.ack("archive", Cursor(log.log_id, 3)) == Cursor(log.log_id, 3)
    assert log.acked_sequence == 3
    await journal.close()

    again = await Journal.open(journal.directory, clock=clock, reserve_bytes=4096)
    assert EventLog(again, bounds=LogBounds(), clock=clock).acked_sequence == 3
    await again.close()


async def test_a_reader_that_was_gone_for_ten_thousand_events_misses_none(log: EventLog) -> None:
    reader = log.subscribe(Cursor())
    await log.append(delta("first"))
    assert [text(each) for each in await take(reader, 1)] == ["first"]
    for start in range(0, 10_000, 500):
        await log.append(*(delta(str(n)) for n in range(start, start + 500)))
    assert [text(each) for each in await take(reader, 10_000)] == [str(n) for n in range(10_000)]


async def test_a_slow_reader_costs_no_memory(journal: Journal, clock: Clock) -> None:
    bounds = LogBounds(tail_bytes=256 << 10, page_bytes=64 << 10)
    log = EventLog(journal, bounds=bounds, clock=clock)
    readers = [log.subscribe(Cursor()) for _ in range(10)]
    await log.append(delta("first"))
    for reader in readers:
        await take(reader, 1)
    large = delta("x" * 20_000)

    tracemalloc.start()
    for _ in range(500):
        await log.append(large)
    for reader in readers:
        await take(reader, 1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # The tail, a page for each reader, and what the interpreter itself keeps.
    assert held < (256 << 10) + 10 * (84 << 10) + (512 << 10)


async def test_events_leave_by_age_only_once_they_are_acknowledged(
    log: EventLog, clock: Clock
) -> None:
    await log.append(*(delta(f"old{n}") for n in range(4)))
    clock.now += 8 * DAY
    await log.append(*(delta(f"new{n}") for n in range(4)))
    await log.ack("gateway", Cursor(log.log_id, 0))
    assert await log.trim() == 0
    await log.ack("gateway", Cursor(log.log_id, 3))
    assert await log.trim() == 3
    await log.ack("gateway", Cursor(log.log_id, 8))
    assert await log.trim() == 1
    assert (log.oldest_sequence, log.last_sequence) == (5, 8)
    assert [each.sequence for each in await take(log.subscribe(Cursor(log.log_id, 4)), 4)] == [
        *range(5, 9)
    ]


async def test_without_any_consumer_events_leave_by_age(log: EventLog, clock: Clock) -> None:
    await log.append(delta("old"))
    clock.now += 8 * DAY
    await log.append(delta("new"))
    assert await log.trim() == 1
    assert (log.oldest_sequence, log.last_sequence) == (2, 2)


async def test_sequences_go_on_after_everything_was_trimmed(
    log: EventLog, journal: Journal, clock: Clock
) -> None:
    await log.append(delta("a"), delta("b"))
    clock.now += 8 * DAY
    assert await log.trim() == 2
    assert (log.oldest_sequence, log.last_sequence) == (3, 2)
    await journal.close()

    again = await Journal.open(journal.directory, clock=clock, reserve_bytes=4096)
    reopened = EventLog(again, bounds=LogBounds(), clock=clock)
    assert (reopened.oldest_sequence, reopened.last_sequence) == (3, 2)
    trimmed = (Status.OUT_OF_RANGE, "SEQUENCE_TRIMMED", {"oldest": "3"})
    assert await refusal(reopened.subscribe(Cursor(reopened.log_id, 1))) == trimmed
    assert await reopened.append(delta("c")) == 3
    assert [text(each) for each in await take(reopened.subscribe(Cursor("", 2)), 1)] == ["c"]
    await again.close()


async def test_a_log_over_its_size_drops_the_oldest_and_returns_the_disk(
    journal: Journal, clock: Clock
) -> None:
    log = EventLog(journal, bounds=LogBounds(max_bytes=1 << 20), clock=clock)
    for _ in range(40):
        await log.append(*(delta("x" * 10_000) for _ in range(10)))
    database = journal.directory / "journal.sqlite"

    removed = await log.trim()

    assert 250 < removed < 400
    assert (log.oldest_sequence, log.last_sequence) == (removed + 1, 400)
    assert not log.disk_state().full
    kept = await take(log.subscribe(Cursor("", removed)), 400 - removed)
    assert [each.sequence for each in kept] == [*range(removed + 1, 401)]
    await journal.close()
    assert database.stat().st_size <= (1 << 20) + (64 << 10)


async def test_a_log_over_its_size_keeps_what_nobody_acknowledged_and_says_it_is_full(
    journal: Journal, clock: Clock
) -> None:
    log = EventLog(journal, bounds=LogBounds(max_bytes=1 << 20), clock=clock)
    await log.append(*(delta("x" * 10_000) for _ in range(300)))
    await log.ack("gateway", Cursor(log.log_id, 5))
    assert await log.trim() == 5
    assert log.disk_state().full
    await log.ack("gateway", Cursor(log.log_id, 300))
    assert await log.trim() > 150
    assert not log.disk_state().full


async def test_a_slow_reader_that_trimming_overtakes_is_told(
    journal: Journal, clock: Clock
) -> None:
    log = EventLog(journal, bounds=LogBounds(tail_bytes=0), clock=clock)
    await log.append(delta("a"))
    reader = log.subscribe(Cursor())
    await take(reader, 1)
    await log.append(*(delta(str(n)) for n in range(5)))
    clock.now += 8 * DAY
    await log.trim()
    assert await refusal(reader) == (Status.OUT_OF_RANGE, "SEQUENCE_TRIMMED", {"oldest": "7"})


async def test_ids_of_ended_messages_live_thirty_days(
    log: EventLog, journal: Journal, clock: Clock
) -> None:
    def insert(transaction: Transaction) -> None:
        for age in (29, 31):
            for state in events.MessageState:
                transaction.execute(
                    "INSERT INTO messages (message_id, conversation_id, ordinal, kind, state,"
                    " submitted_at, changed_at) VALUES (?, 'main', 1, 'TEXT', ?, 0, ?)",
                    (f"{state.name}-{age}", state.name, transaction.now - age * DAY),
                )
            transaction.execute(
                "INSERT INTO requests (request_id, conversation_id, kind, outcome, resolved_at)"
                " VALUES (?, 'main', 'TOOL', 'DENIED', ?)",
                (f"request-{age}", transaction.now - age * DAY),
            )
        transaction.execute(
            "INSERT INTO requests (request_id, conversation_id, kind) VALUES ('open', 'm', 'TOOL')"
        )

    await journal.write(insert)
    await log.trim()

    kept = await journal.read(
        lambda c: {row[0] for row in c.execute("SELECT message_id FROM messages")}
    )
    alive = {"QUEUED-31", "PASTING-31", "OPEN-31"}
    assert kept == alive | {f"{state.name}-29" for state in events.MessageState}
    requests = await journal.read(
        lambda c: {row[0] for row in c.execute("SELECT request_id FROM requests")}
    )
    assert requests == {"request-29", "open"}


@pytest.mark.parametrize(
    ("free", "available", "expected"),
    [(20, 20, DiskState(0.8, False)), (10, 10, DiskState(0.9, True)), (10, 0, DiskState(1, True))],
)
async def test_the_volume_is_full_from_ninety_percent(
    journal: Journal, clock: Clock, free: int, available: int, expected: DiskState
) -> None:
    def statvfs(path: "os.PathLike[str]") -> os.statvfs_result:
        assert path == journal.directory
        return os.statvfs_result((4096, 4096, 100, free, available, 0, 0, 0, 0, 255))

    log = EventLog(journal, bounds=LogBounds(), clock=clock, statvfs=statvfs)
    assert log.disk_state() == expected


class LogMachine(RuleBasedStateMachine):
    """Any order of appends, acks, trims, restarts and reads agrees with a plain list."""

    @initialize(directory=st.uuids())
    def start(self, directory: object) -> None:
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.directory = self.base / str(directory) / str(time.monotonic_ns())
        self.written: list[tuple[float, str]] = []
        self.acked: int | None = None
        self.trimmed = 0
        self.open()

    base: Path

    def open(self) -> None:
        async def open_log() -> None:
            self.journal = await Journal.open(self.directory, clock=self.clock, reserve_bytes=4096)
            bounds = LogBounds(tail_bytes=300, page_bytes=200)
            self.log = EventLog(self.journal, bounds=bounds, clock=self.clock)

        self.runner.run(open_log())

    @rule(batch=st.lists(st.text(max_size=50), min_size=1, max_size=20), at_once=st.booleans())
    def append(self, batch: list[str], at_once: bool) -> None:
        async def run() -> None:
            if at_once:
                await self.log.append(*(delta(each) for each in batch))
            else:
                await asyncio.gather(*(self.log.append(delta(each)) for each in batch))

        self.runner.run(run())
        self.written += [(self.clock.now, each) for each in batch]

    @rule(share=st.floats(0, 1))
    def ack(self, share: float) -> None:
        sequence = round(share * len(self.written))
        self.acked = max(sequence, self.acked or 0)
        cursor = Cursor(self.log.log_id, sequence)
        reached = self.runner.run(self.log.ack("gateway", cursor))
        assert reached == Cursor(self.log.log_id, self.acked)

    @rule(days=st.sampled_from([0.5, 4, 8]))
    def wait(self, days: float) -> None:
        self.clock.now += days * DAY

    @rule()
    def trim(self) -> None:
        removed = self.runner.run(self.log.trim())
        allowed = len(self.written) if self.acked is None else self.acked
        old = sum(at < self.clock.now - 7 * DAY for at, _ in self.written)
        expected = max(self.trimmed, min(allowed, old))
        assert removed == expected - self.trimmed
        self.trimmed = expected

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.journal.close())
        self.open()

    @rule(share=st.floats(0, 1))
    def replay(self, share: float) -> None:
        position = round(share * len(self.written))
        reader = self.log.subscribe(Cursor(self.log.log_id, position))
        if position < self.trimmed:
            assert self.runner.run(refusal(reader))[2] == {"oldest": str(self.trimmed + 1)}
            return
        got = self.runner.run(take(reader, len(self.written) - position))
        assert [(each.sequence, text(each)) for each in got] == [
            (position + offset + 1, written)
            for offset, (_, written) in enumerate(self.written[position:])
        ]

    @invariant()
    def bounds_agree(self) -> None:
        seen = (self.log.oldest_sequence, self.log.last_sequence, self.log.acked_sequence)
        assert seen == (self.trimmed + 1, len(self.written), self.acked)

    def teardown(self) -> None:
        self.runner.run(self.journal.close())
        self.runner.close()


def test_any_history_replays_as_it_was_written(tmp_path: Path) -> None:
    LogMachine.base = tmp_path
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=100,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
