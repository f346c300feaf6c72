"""More than anybody can read: output, events, sessions; the runner stays small and fair."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from repobridge.session import codec
from repobridge.session.events import (
    Event,
    SessionState,
    TextDelta,
    TurnEnded,
    TurnOpened,
    TurnOutcome,
)
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.session.faulty import (
    FaultyRunner,
    assert_one_end_each,
    memory_of,
    scripted_runner,
)

MIB = 1 << 20
Record = Callable[[str, object], None]


@pytest.fixture
def scripted(tmp_path: Path) -> ScriptedClaude:
    """A scripted agent that behaves until it is told otherwise."""
    return ScriptedClaude(tmp_path / "agent")


async def collect(
    runner: FaultyRunner, *, after: int = 0, count: int, pause: asyncio.Event | None = None
) -> list[Event]:
    """Reads so many events behind a sequence in a stream of its own."""
    cursor = pb.Cursor(log_id=runner.events[0].log_id, sequence=after)
    stream = runner.stub.Subscribe(pb.SubscribeRequest(after=cursor))
    events: list[Event] = []
    async for message in stream:
        event = codec.event_from_pb(message)
        assert event is not None
        events.append(event)
        if len(events) == count:
            stream.cancel()
            return events
        if pause is not None and len(events) == 1:
            await pause.wait()
    raise AssertionError("the stream ended by itself")


async def test_a_flood_on_one_terminal_delays_no_other_session_and_costs_no_memory(
    tmp_path: Path, scripted: ScriptedClaude, record_testsuite_property: Record
) -> None:
    gate = scripted.gate("enough")
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.turn("warm", conversation_id="main")
        await runner.turn("warm", conversation_id="other")
        before = memory_of(runner.process.pid)
        flood = await runner.submit(f"%say begun\n%flood-until {100 * MIB} {gate}\n%say over")
        await runner.next(TextDelta, where=lambda delta: "begun" in delta.markdown)
        slowest = 0.0
        for _ in range(3):  # while the flood goes on, as nobody opened its gate
            started = time.monotonic()
            ended = await runner.turn("quick", conversation_id="other")
            slowest = max(slowest, time.monotonic() - started)
            assert ended.outcome is TurnOutcome.COMPLETED
        open_gate(gate)
        over = await runner.ended(flood.status.message_id)
        assert over.final_markdown == "begun\nover"
        grown = memory_of(runner.process.pid) - before
        record_testsuite_property("flood", f"slowest {slowest:.3f} s, +{grown / MIB:.1f} MiB")
        assert grown < 24 * MIB
        assert_one_end_each(runner)


@pytest.mark.parametrize("kind", ["endless", "broken"])
async def test_output_that_no_terminal_understands_harms_nobody(
    tmp_path: Path, scripted: ScriptedClaude, kind: str
) -> None:
    gate = scripted.gate("after")
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.turn("warm")
        viewers = [asyncio.ensure_future(watch(runner)) for _ in range(2)]
        ended = await runner.turn(f"%{kind} {8 * MIB}\n%say over")
        assert ended.final_markdown == "over"
        # ESC before any text: the runner has to read off this very screen that the box is empty.
        await runner.submit(f"%{kind} {MIB}\n%gate {gate}")
        await runner.next(TurnOpened, where=lambda opened: opened.message_id == "m3")
        await runner.interrupt()
        assert (await runner.ended("m3")).outcome is TurnOutcome.INTERRUPTED
        assert (await runner.turn("next")).final_markdown == "echo: next"
        open_gate(gate)
        assert scripted.executed()[-1] == "[Ann via terminal]\nnext"
        await runner.stub.Control(
            pb.ControlRequest(conversation_id="main", stop=pb.ControlRequest.Stop())
        )
        seen = await asyncio.gather(*viewers)
        assert all(size > 0 for size in seen), seen
        assert_one_end_each(runner)


async def watch(runner: FaultyRunner) -> int:
    """Attaches until the agent ends; how many bytes were shown or told to be left out."""

    async def requests() -> AsyncIterator[pb.AttachRequest]:
        yield pb.AttachRequest(header=pb.AttachHeader(conversation_id="main", read_only=True))
        await asyncio.Event().wait()

    size = 0
    async for part in runner.stub.Attach(requests()):
        if part.WhichOneof("part") == "ended":
            break
        size += len(part.output) + part.dropped_bytes
    return size


async def test_a_reader_that_was_gone_for_ten_thousand_events_gets_exactly_those(
    tmp_path: Path, scripted: ScriptedClaude, record_testsuite_property: Record
) -> None:
    async with scripted_runner(tmp_path, scripted) as runner:
        await runner.turn("warm")
        first = await collect(runner, count=5)
        gone_at = first[-1].sequence
        stalled = asyncio.Event()
        behind = asyncio.ensure_future(collect(runner, after=gone_at, count=9_000, pause=stalled))
        conversations = ["main", "other"]
        before = memory_of(runner.process.pid)
        ids = [
            (await runner.submit("%deltas 5000", conversation_id=each)).status.message_id
            for each in conversations
        ]
        await all_ended(runner, 3)
        assert all([(await runner.ended(each)).outcome is TurnOutcome.COMPLETED for each in ids])
        grown = memory_of(runner.process.pid) - before
        total = len(runner.events)
        assert total > 10_000
        again = await collect(runner, after=gone_at, count=total - gone_at)
        assert [*first, *again] == runner.events[:total]
        stalled.set()
        assert await behind == runner.events[gone_at : gone_at + 9_000]
        record_testsuite_property("reader", f"{total} events, +{grown / MIB:.1f} MiB")
        assert grown < 24 * MIB
        assert_one_end_each(runner)
        for turn_id in {event.turn_id for event in runner.events if event.turn_id}:
            indexes = [
                event.body.index
                for event in runner.events
                if event.turn_id == turn_id and isinstance(event.body, TextDelta)
            ]
            assert indexes == list(range(len(indexes)))


@pytest.mark.parametrize(
    ("conversations", "messages"),
    [(10, 5), pytest.param(50, 20, marks=[pytest.mark.long, pytest.mark.timeout(900)])],
)
async def test_many_conversations_share_a_few_agents(
    tmp_path: Path,
    scripted: ScriptedClaude,
    record_testsuite_property: Record,
    conversations: int,
    messages: int,
) -> None:
    names = [f"c{number}" for number in range(conversations)]
    async with scripted_runner(tmp_path, scripted, live_sessions=3) as runner:
        started = time.monotonic()
        for name in names:
            for number in range(messages):
                await runner.submit(
                    f"%say {name} {number}", conversation_id=name, message_id=f"{name}-{number}"
                )
        total = conversations * messages
        await all_ended(runner, total)
        seconds = time.monotonic() - started
        record_testsuite_property("messages", f"{total} in {seconds:.1f} s")
        outcomes = Counter(body.outcome for body in runner.of(TurnEnded))
        assert outcomes == {TurnOutcome.COMPLETED: total}
        for name in names:
            opened = [
                event.body.message_id
                for event in runner.events
                if event.conversation_id == name and isinstance(event.body, TurnOpened)
            ]
            assert opened == [f"{name}-{number}" for number in range(messages)]
        assert set(Counter(scripted.executed()).values()) == {1}
        assert len(scripted.executed()) == total
        live = await runner.stub.ListSessions(pb.ListSessionsRequest())
        exited = SessionState.EXITED.value
        assert sum(session.state != exited for session in live.sessions) <= 3
        assert_one_end_each(runner)


async def all_ended(runner: FaultyRunner, turns: int) -> None:
    """Waits for so many ends; each step has the usual patience, the whole may take longer."""
    seen = ended = 0

    def step() -> bool:
        nonlocal seen, ended
        new = runner.events[seen:]
        seen += len(new)
        ended += sum(isinstance(event.body, TurnEnded) for event in new)
        return bool(new)

    while ended < turns:
        await runner.until(step)
