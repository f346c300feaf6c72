"""The order and the pace of calls: urgency, fairness, one of a kind at a time, never too many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from repobridge_gateway import pacer as pacing
from repobridge_gateway.pacer import BURST, Lane, Overloaded, Pacer, Priority, Replaced


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def running(pacer: Pacer) -> AsyncIterator[None]:
    task = asyncio.create_task(pacer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def noting(done: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        done.append(name)

    return call


async def test_the_urgent_goes_first_and_equals_take_turns_among_channels() -> None:
    pacer, done = Pacer(), list[str]()
    calls = [
        ("1", Priority.EDIT), ("1", Priority.ANSWER), ("1", Priority.ANSWER),
        ("1", Priority.ANSWER), ("2", Priority.ANSWER), ("2", Priority.REACTION),
        ("3", Priority.DECISION), ("3", Priority.READING),
    ]  # fmt: skip
    waiting = [
        asyncio.create_task(
            pacer.do(Lane(channel, str(kind)), priority, noting(done, f"{channel}-{priority.name}"))
        )
        for kind, (channel, priority) in enumerate(calls)
    ]
    await asyncio.sleep(0)
    async with running(pacer):
        await asyncio.gather(*waiting)
    assert done == [
        "1-ANSWER", "2-ANSWER", "1-ANSWER", "1-ANSWER", "3-DECISION", "3-READING", "1-EDIT",
        "2-REACTION",
    ]  # fmt: skip


async def test_one_channel_has_one_call_of_a_kind_under_way_and_others_go_on() -> None:
    pacer, gate, done = Pacer(), asyncio.Event(), list[str]()

    async def stuck() -> None:
        await gate.wait()
        done.append("stuck")

    async with running(pacer):
        first = asyncio.create_task(pacer.do(Lane("1", "send"), Priority.ANSWER, stuck))
        second = asyncio.create_task(
            pacer.do(Lane("1", "send"), Priority.ANSWER, noting(done, "behind"))
        )
        await asyncio.sleep(0)
        await pacer.do(Lane("1", "edit"), Priority.EDIT, noting(done, "another kind"))
        await pacer.do(Lane("2", "send"), Priority.REACTION, noting(done, "another channel"))
        gate.set()
        await asyncio.gather(first, second)
    assert done == ["another kind", "another channel", "stuck", "behind"]


async def test_never_more_than_discord_allows_in_any_time() -> None:
    clock = Clock()
    pacer, made = Pacer(per_second=45, clock=clock, sleep=clock.sleep), list[float]()

    async def call() -> None:
        made.append(clock.now)

    async with running(pacer):
        await asyncio.gather(
            *(pacer.do(Lane(str(number), "send"), Priority.ANSWER, call) for number in range(500))
        )
    for first, started in enumerate(made):
        within = sum(started <= at < started + 1 for at in made[first:])
        assert within < 50
    assert made[-1] - made[0] <= (500 - BURST) / 45 + 0.1  # nor slower than it may


async def test_the_least_urgent_gets_its_turn_beside_more_edits_than_there_is_room_for() -> None:
    clock = Clock()
    pacer, done = Pacer(clock=clock, sleep=clock.sleep), list[str]()

    async def stream(channel: str) -> None:
        while "seen" not in done and len(done) < 300:
            await pacer.do(Lane(channel, "edit"), Priority.EDIT, noting(done, channel))

    async with running(pacer), asyncio.TaskGroup() as tasks:
        for channel in range(60):
            tasks.create_task(stream(str(channel)))
        await asyncio.sleep(0)
        await pacer.do(Lane("1", "react"), Priority.REACTION, noting(done, "seen"))
    assert done.index("seen") < 100


async def test_what_changes_all_the_time_keeps_its_place_and_is_made_at_its_newest() -> None:
    pacer, done = Pacer(), list[str]()
    lane = Lane("1", "edit")
    older = asyncio.create_task(pacer.newest(lane, "m", Priority.EDIT, noting(done, "older")))
    other = asyncio.create_task(pacer.newest(lane, "o", Priority.EDIT, noting(done, "other")))
    await asyncio.sleep(0)
    newer = asyncio.create_task(pacer.newest(lane, "m", Priority.EDIT, noting(done, "newer")))
    await asyncio.sleep(0)
    async with running(pacer):
        await asyncio.gather(newer, other)
    with pytest.raises(Replaced):
        await older
    assert done == ["newer", "other"]


async def test_a_failure_is_the_callers_and_a_caller_who_left_costs_no_call() -> None:
    pacer, done = Pacer(), list[str]()

    async def fails() -> None:
        raise ValueError("no")

    lane = Lane("1", "send")
    left = asyncio.create_task(pacer.do(lane, Priority.ANSWER, noting(done, "left")))
    await asyncio.sleep(0)
    left.cancel()
    failing = asyncio.create_task(pacer.do(lane, Priority.ANSWER, fails))
    async with running(pacer):
        with pytest.raises(ValueError, match="no"):
            await failing
        await pacer.do(lane, Priority.ANSWER, noting(done, "after"))
    assert (done, pacer.waiting) == (["after"], 0)


async def test_more_than_may_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "WAITING", 2)
    pacer, done = Pacer(), list[str]()
    calls = [
        asyncio.create_task(pacer.do(Lane("1", "send"), Priority.ANSWER, noting(done, str(n))))
        for n in range(3)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await calls[2]
    async with running(pacer):
        await asyncio.gather(*calls[:2])
    assert done == ["0", "1"]
