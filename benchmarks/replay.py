"""Replay of a long log to a new subscriber, against reading the same rows from SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import interleaved, seconds
from benchmarks.result import MILLISECONDS, Comparison, Row
from benchmarks.workplace import workplace
from repobridge.session.events import Event, TextDelta
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge_runner.journal import Journal
from repobridge_runner.log import EventLog, LogBounds

if TYPE_CHECKING:  # the stub file's own name for the asynchronous calls
    from repobridge.session.v1.session_pb2_grpc import SessionServiceAsyncStub
_EVENTS = 20_000
_EVENTS_A_COMMIT = 500
_PAIRS_A_REPLAY = 5  # a replay is dear
_PATIENCE_SECONDS = 30.0
_EVENT = Event(TextDelta("block", markdown="A line of an answer. " * 10), "main", "session", 1, "t")


async def run(setting: Setting) -> Sequence[Row]:
    """A runner that finds a long log serves it from the beginning, again and again."""
    directory = setting.directory / "r" / "state" / "private"
    await _fill(directory)
    journal = directory / "journal.sqlite"
    replays = max(1, setting.pairs // _PAIRS_A_REPLAY)
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner() as runner,
        _bare_stream(journal, setting.directory / "bare.sock") as bare,
    ):

        async def ours() -> float:
            return await seconds(lambda: _subscribe(runner.stub))

        against_stream = await interleaved(
            ours, lambda: seconds(lambda: _subscribe(bare)), pairs=replays
        )
        against_select = await interleaved(
            ours, lambda: seconds(lambda: _select(journal)), pairs=replays
        )
    name = f"replay of {_EVENTS:,} events"
    ratio = Comparison.RATIO
    return (
        Row(name, against_stream, MILLISECONDS, ratio, baseline_name="bare gRPC stream of them"),
        Row(name, against_select, MILLISECONDS, ratio, baseline_name="SELECT in this process"),
    )


async def _fill(directory: Path) -> None:
    journal = await Journal.open(directory)
    log = EventLog(journal, bounds=LogBounds(), clock=time.time)
    for _ in range(_EVENTS // _EVENTS_A_COMMIT):
        await log.append(*[_EVENT] * _EVENTS_A_COMMIT)
    await journal.close()


async def _subscribe(stub: SessionServiceAsyncStub) -> None:
    count = 0
    call = stub.Subscribe(pb.SubscribeRequest())
    async for _ in call:
        count += 1
        if count == _EVENTS:
            break
    call.cancel()


@asynccontextmanager
async def _bare_stream(journal: Path, socket: Path) -> AsyncIterator[SessionServiceAsyncStub]:
    """A process that does nothing but stream the events."""
    words = (sys.executable, "-m", "benchmarks.bare_stream", str(journal), str(socket))
    process = await asyncio.create_subprocess_exec(*words)
    try:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await channel.channel_ready()
            yield SessionServiceStub(channel)
    finally:
        process.kill()
        await process.wait()


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
