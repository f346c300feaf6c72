"""Durable appends to the runner's log, against overwriting a page and syncing it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.bare_file import BareFile
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, interleaved, per_second, seconds
from benchmarks.result import MICROSECONDS, PER_SECOND, Comparison, Row, at_least, at_most
from repobridge.session.events import Event, TextDelta
from repobridge_runner.journal import Journal
from repobridge_runner.log import EventLog, LogBounds

_WRITERS = 64
_APPENDS_EACH = 30
_BARE_WRITES = 200
_SINGLES_A_PAIR = 10
_EVENT = Event(TextDelta("block", markdown="A line of an answer. " * 10), "main", "session", 1, "t")


async def run(setting: Setting) -> Sequence[Row]:
    """The rate of many writers at once, and the latency of one alone."""
    journal = await Journal.open(setting.directory / "journal")
    log = EventLog(journal, bounds=LogBounds(), clock=time.time)
    bare = BareFile(setting.directory / "bare")
    try:
        rates = await _rates(log, bare, pairs=setting.pairs)
        latencies = await _latencies(log, bare, pairs=setting.pairs * _SINGLES_A_PAIR)
    finally:
        bare.close()
        await journal.close()
    baseline = "overwrite + fdatasync"
    alone = "durable append alone"
    return (
        Row(
            f"durable appends, {_WRITERS} writers at once",
            rates,
            PER_SECOND,
            Comparison.RATIO,
            goal=at_least(3),
            baseline_name=baseline,
        ),
        Row(
            alone,
            latencies,
            MICROSECONDS,
            Comparison.RATIO,
            goal=at_most(2),
            baseline_name=baseline,
        ),
        Row(
            alone,
            latencies,
            MICROSECONDS,
            Comparison.RATIO,
            quantile=0.99,
            baseline_name=baseline,
        ),
    )


async def _rates(log: EventLog, bare: BareFile, *, pairs: int) -> Pairs:
    async def one_writer() -> None:
        for _ in range(_APPENDS_EACH):
            await log.append(_EVENT)

    async def all_writers() -> None:
        await asyncio.gather(*(one_writer() for _ in range(_WRITERS)))

    return await interleaved(
        lambda: per_second(_WRITERS * _APPENDS_EACH, all_writers),
        lambda: per_second(_BARE_WRITES, lambda: bare.write(_BARE_WRITES)),
        pairs=pairs,
    )


async def _latencies(log: EventLog, bare: BareFile, *, pairs: int) -> Pairs:
    return await interleaved(
        lambda: seconds(lambda: log.append(_EVENT)),
        lambda: seconds(bare.write),
        pairs=pairs,
        warm_up=20,
    )


BENCHMARK = Benchmark(
    name="durable-appends",
    about="appends to the event log that are on disk when they return, against bare syncs",
    run=run,
)
