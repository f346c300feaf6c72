"""Replay of a long log to a new subscriber, against reading the same rows from SQLite."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import interleaved, per_second
from benchmarks.result import PER_SECOND, Comparison, Row
from benchmarks.workplace import workplace
from repobridge.session.events import Event, TextDelta
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.journal import Journal
from repobridge_runner.log import EventLog, LogBounds
from tests.live_runner import LiveRunner

_EVENTS = 20_000
_EVENTS_A_COMMIT = 500
_PAIRS_A_REPLAY = 5  # a replay is dear
_EVENT = Event(TextDelta("block", markdown="A line of an answer. " * 10), "main", "session", 1, "t")


async def run(setting: Setting) -> Sequence[Row]:
    """A runner that finds a long log serves it from the beginning, again and again."""
    journal = setting.directory / "r" / "state" / "private"
    await _fill(journal)
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner() as runner,
    ):
        pairs = await interleaved(
            lambda: per_second(_EVENTS, lambda: _subscribe(runner)),
            lambda: per_second(_EVENTS, lambda: _select(journal / "journal.sqlite")),
            pairs=max(1, setting.pairs // _PAIRS_A_REPLAY),
        )
    name = f"replay of {_EVENTS:,} events"
    return (Row(name, pairs, PER_SECOND, Comparison.RATIO, baseline_name="SELECT in this process"),)


async def _fill(directory: Path) -> None:
    journal = await Journal.open(directory)
    log = EventLog(journal, bounds=LogBounds(), clock=time.time)
    for _ in range(_EVENTS // _EVENTS_A_COMMIT):
        await log.append(*[_EVENT] * _EVENTS_A_COMMIT)
    await journal.close()


async def _subscribe(runner: LiveRunner) -> None:
    call = runner.stub.Subscribe(pb.SubscribeRequest())
    async for event in call:
        if event.sequence >= _EVENTS:
            break
    call.cancel()


async def _select(path: Path) -> None:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    for _ in connection.execute("SELECT payload FROM events ORDER BY sequence LIMIT ?", (_EVENTS,)):
        pass
    connection.close()


BENCHMARK = Benchmark(
    name="replay",
    about="a long log to a new subscriber, against reading it from SQLite",
    run=run,
)
