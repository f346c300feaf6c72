"""Thousands of bridges at once: the time until all are served, and what it costs to keep them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.apiplace import AT_ONCE, ApiPlace, Room, api_place
from benchmarks.bare_objects import BareObjects
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, Samples, seconds
from benchmarks.proc import cpu_seconds, sizes
from benchmarks.result import (
    COUNT,
    MEGABYTES,
    PERCENT,
    SECONDS,
    Comparison,
    Goal,
    Row,
    Unit,
    at_most,
)
from tests.apiserver.operators import Operator
from tests.apiserver.test_operator import Place

_COUNTS = (1_000, 5_000)
_GOAL_COUNT = 1_000
_REST_SECONDS = 60.0
_POLL_SECONDS = 0.25
_SETTLE_SECONDS = 3.0
_TELL_SECONDS = 5.0
_LONGEST_SECONDS = 300.0
_LOOKS = "repobridge_operator_reconciles_total"
_EMPTY = "an operator without bridges"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Rest:
    """A minute in which nobody wants anything of two operators."""

    share: float
    """Of a core."""
    bare_share: float
    resident: float
    bare_resident: float
    highest: float
    writes: int


@dataclass(frozen=True, slots=True)
class _Restart:
    """An operator that finds everything as it should be."""

    seconds: float
    bare_seconds: float
    writes: int


async def run(setting: Setting) -> Sequence[Row]:
    """Each number in a namespace and with an operator of its own, all on one API server."""
    async with api_place(setting.directory) as place:
        empty = await place.room("none")
        rows: list[Row] = []
        for count in _COUNTS:
            rows += await _measured(place, count, empty=empty, say=setting.say)
    return rows


async def _measured(place: ApiPlace, count: int, *, empty: Room, say: Say) -> list[Row]:
    room = await place.room(f"many-{count}")
    async with empty.operator() as idle, room.operator() as operator:
        await asyncio.gather(idle.leads(), operator.leads())
        steady = await seconds(lambda: _make_and_await(room, operator, count=count, say=say))
        rest = await _rest(room, operator, idle=idle, say=say)
        await asyncio.gather(operator.terminate(), idle.terminate())
    restart = await _restart(room, count=count, empty=empty, say=say)
    objects = await BareObjects.of(room.place, _name(0))
    bare = await place.namespace(f"bare-{count}")
    say(f"  {count:,} bridges: the same objects by a bare client …")
    by_hand = await seconds(
        lambda: _each(count, lambda number: objects.make_asleep(bare, _name(number)))
    )
    return _rows(count, steady=steady, by_hand=by_hand, rest=rest, restart=restart)


def _rows(
    count: int, *, steady: float, by_hand: float, rest: _Rest, restart: _Restart
) -> list[Row]:
    def row(
        name: str,
        figure: float,
        baseline: float,
        unit: Unit,
        *,
        comparison: Comparison = Comparison.NONE,
        goal: Goal | None = None,
        beside: str = _EMPTY,
    ) -> Row:
        pairs = Pairs(Samples((figure,)), Samples((baseline,)))
        return Row(
            f"{count:,} bridges: {name}", pairs, unit, comparison, goal=goal, baseline_name=beside
        )

    none, is_goal = at_most(0), count == _GOAL_COUNT
    memory, bare_memory = rest.resident, rest.bare_resident
    return [
        row(
            "created at once → all served",
            steady,
            by_hand,
            SECONDS,
            comparison=Comparison.RATIO,
            beside=f"the same objects made by a bare client, {AT_ONCE} requests at a time",
        ),
        row(
            "resident memory at rest",
            memory,
            bare_memory,
            MEGABYTES,
            goal=at_most(120e6) if is_goal else None,
        ),
        row("resident memory at its highest", rest.highest, bare_memory, MEGABYTES),
        row("of a core at rest", rest.share, rest.bare_share, PERCENT),
        row("writes in a minute of rest", rest.writes, 0, COUNT, goal=none),
        row(
            "a restarted operator has seen them all",
            restart.seconds,
            restart.bare_seconds,
            SECONDS,
            comparison=Comparison.DIFFERENCE,
        ),
        row("writes of a restarted operator", restart.writes, 0, COUNT, goal=none),
    ]


async def _make_and_await(room: Room, operator: Operator, *, count: int, say: Say) -> None:
    making = asyncio.create_task(_each(count, lambda number: _make(room.place, number)))
    try:
        await _until(
            lambda: operator.metric("repobridge_operator_bridges", phase="Asleep"),
            count,
            tell=lambda found: say(f"  {count:,} bridges: {found:,.0f} are served …"),
        )
        await making
    finally:
        making.cancel()


async def _make(place: Place, number: int) -> None:
    await place.make(_name(number), discord={"channelId": str(10**17 + number)})


def _name(number: int) -> str:
    return f"bridge-{number}"


async def _rest(room: Room, operator: Operator, *, idle: Operator, say: Say) -> _Rest:
    await _settled(operator)
    say(f"  {_REST_SECONDS:.0f} s of rest …")
    since = await room.apiserver.audit.position()
    pids = (operator.pid, idle.pid)
    began, before = time.perf_counter(), [cpu_seconds(each) for each in pids]
    await asyncio.sleep(_REST_SECONDS)
    elapsed = time.perf_counter() - began
    shares = [
        (cpu_seconds(each) - spent) / elapsed for each, spent in zip(pids, before, strict=True)
    ]
    written = await room.written(since=since)
    return _Rest(
        share=shares[0],
        bare_share=shares[1],
        resident=sizes(operator.pid)["VmRSS"],
        bare_resident=sizes(idle.pid)["VmRSS"],
        highest=sizes(operator.pid)["VmHWM"],
        writes=written.total(),
    )


async def _restart(room: Room, *, count: int, empty: Room, say: Say) -> _Restart:
    """The look at the start, and the full one that follows the begin of the watches."""
    say(f"  {count:,} bridges: a new operator …")
    began = time.perf_counter()
    async with empty.operator() as idle:
        await idle.leads()
        bare_seconds = time.perf_counter() - began
        await idle.terminate()
    since = await room.apiserver.audit.position()
    began = time.perf_counter()
    async with room.operator() as operator:
        await operator.leads()
        await _until(lambda: operator.metric(_LOOKS), count)
        taken = time.perf_counter() - began
        # Who is still to be looked at when the full look comes is looked at once for both.
        await _until(lambda: operator.metric(_LOOKS), count + 1)
        await _settled(operator)
        await operator.terminate()
    written = await room.written(since=since)
    return _Restart(seconds=taken, bare_seconds=bare_seconds, writes=written.total())


async def _settled(operator: Operator) -> None:
    """Waits until no look has begun for a while."""
    before = -1.0
    while (found := await operator.metric(_LOOKS)) != before:
        before = found
        await asyncio.sleep(_SETTLE_SECONDS)


async def _until(
    ask: Callable[[], Awaitable[float]],
    wanted: float,
    *,
    tell: Callable[[float], None] = lambda found: None,
) -> None:
    told = time.monotonic()
    async with asyncio.timeout(_LONGEST_SECONDS):
        while (found := await ask()) < wanted:
            if time.monotonic() - told >= _TELL_SECONDS:
                told = time.monotonic()
                tell(found)
            await asyncio.sleep(_POLL_SECONDS)


async def _each(count: int, act: Callable[[int], Awaitable[None]]) -> None:
    """Acts on every number, on so many at a time."""

    async def some(first: int) -> None:
        for number in range(first, count, AT_ONCE):
            await act(number)

    await asyncio.gather(*(some(first) for first in range(AT_ONCE)))


BENCHMARK = Benchmark(
    name="many-bridges",
    about="1,000 and 5,000 bridges at once: time, memory, rest and restart (API server, no node)",
    run=run,
)
