"""Durable appends to the runner's log, against overwriting a page and syncing it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, interleaved, per_second, seconds
from benchmarks.result import MICROSECONDS, PER_SECOND, Comparison, Row, at_least, at_most
from repobridge.session.events import Event, TextDelta
from repobridge_runner.journal import Journal
from repobridge_runner.log import EventLog, LogBounds

_WRITERS = 64
_APPENDS_EACH = 30
_BARE_WRITES = 200
_BARE_PAGES = 1000
_PAGE_BYTES = 4096
_SINGLES_A_PAIR = 10
_EVENT = Event(TextDelta("block", markdown="A line of an answer. " * 10), "main", "session", 1, "t")


class _BareFile:
    """What durability costs at its cheapest: a page written over an old one, and a sync."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._page = 0
        # Blocks that exist already: a file that grows would pay for its size, too.
        os.write(self._descriptor, bytes(_BARE_PAGES * _PAGE_BYTES))
        os.fsync(self._descriptor)

    async def write(self, count: int = 1) -> None:
        """Writes pages, each synced before the next; nothing else runs meanwhile."""
        for _ in range(count):
            os.pwrite(self._descriptor, b"x" * _PAGE_BYTES, self._page * _PAGE_BYTES)
            os.fdatasync(self._descriptor)
            self._page = (self._page + 1) % _BARE_PAGES

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


async def run(setting: Setting) -> Sequence[Row]:
    """The rate of many writers at once, and the latency of one alone."""
    journal = await Journal.open(setting.directory / "journal")
    log = EventLog(journal, bounds=LogBounds(), clock=time.time)
    bare = _BareFile(setting.directory / "bare")
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


async def _rates(log: EventLog, bare: _BareFile, *, pairs: int) -> Pairs:
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


async def _latencies(log: EventLog, bare: _BareFile, *, pairs: int) -> Pairs:
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
