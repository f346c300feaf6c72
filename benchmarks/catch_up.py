"""What people wrote while nobody listened: how long until all of it may be handed over.

Each figure is a gateway that starts with an empty store and finds the channels full. Beside the
reading it says in each that the bridge wakes, which none does here, and looks for threads.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.commanded import Commanded, commanded
from benchmarks.measure import interleaved
from benchmarks.result import SECONDS, Comparison, Goal, Row, at_most
from repobridge_gateway import catchup, pacer

_CHANNELS = 200
_MESSAGES = 10_000
_PAIRS = 3
_UNPACED = 100_000.0
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 120.0
_READY = "SELECT count(*) FROM messages WHERE state = 'READY'"


@dataclass(frozen=True, slots=True)
class _Pace:
    """How fast Discord lets itself be asked, and how fast it is."""

    name: str
    is_limited: bool
    calls_per_second: float
    goal: Goal | None = None


_PACES = (
    _Pace(
        "at Discord's 50 requests/s",
        is_limited=True,
        calls_per_second=pacer.PER_SECOND,
        goal=at_most(3.5),
    ),
    _Pace("without a limit", is_limited=False, calls_per_second=_UNPACED),
)
_Measured = Callable[[Commanded, _Pace, Path, str], Awaitable[float]]


async def run(setting: Setting) -> Sequence[Row]:
    """Both read the same, by turns, each from an imitation of Discord of its own."""
    return [await _row(pace, setting) for pace in _PACES]


async def _row(pace: _Pace, setting: Setting) -> Row:
    setting.say(f"  {pace.name} …")
    numbers = itertools.count()

    async def taken(measure: _Measured) -> float:
        place = setting.directory / f"{pace.calls_per_second:g}-{next(numbers)}"
        place.mkdir()
        async with _full_channels(place, pace) as (discord, before):
            return await measure(discord, pace, place, before)

    pairs = await interleaved(lambda: taken(_ours), lambda: taken(_bare), pairs=_PAIRS, warm_up=0)
    name = f"catch-up of {_MESSAGES:,} messages in {_CHANNELS} channels, {pace.name}"
    bare = "discord.py's channel.history alone"
    return Row(name, pairs, SECONDS, Comparison.RATIO, goal=pace.goal, baseline_name=bare)


@asynccontextmanager
async def _full_channels(place: Path, pace: _Pace) -> AsyncIterator[tuple[Commanded, str]]:
    """Channels in which people have written, and an id before the first message."""
    config = {"channels": _CHANNELS, "limits": pace.is_limited}
    async with commanded(
        "benchmarks.written_discord", config, log=place / "discord.log"
    ) as discord:
        told = await discord.ask("write", text="What did I miss?", count=_MESSAGES, a_second=0)
        yield discord, str(int(told["written"][0][0]) - 1)
        if failures := (await discord.ask("failures"))["failures"]:
            raise RuntimeError(f"the imitation of Discord: {failures}")


async def _ours(discord: Commanded, pace: _Pace, place: Path, before: str) -> float:
    """Seconds from the websocket's session until all messages may be handed over."""
    config = {
        **discord.told,
        "directory": str(place),
        "calls_per_second": pace.calls_per_second,
        "bridges": [{"channel": each, "socket": ""} for each in discord.told["channels"]],
    }
    log = place / "gateway.log"
    async with commanded("benchmarks.stamping_gateway", config, log=log):
        began = float((await discord.ask("connected"))["at"])
        await _all_ready(place / "store" / "gateway.sqlite")
        return time.monotonic() - began


async def _all_ready(path: Path) -> None:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while connection.execute(_READY).fetchone()[0] < _MESSAGES:
                await asyncio.sleep(_POLL_SECONDS)
    finally:
        connection.close()


async def _bare(discord: Commanded, pace: _Pace, place: Path, before: str) -> float:
    config = {
        **discord.told,
        "calls_per_second": pace.calls_per_second,
        "at_once": catchup.AT_ONCE,
    }
    async with commanded("benchmarks.bare_history", config, log=place / "bare.log") as bare:
        told = await bare.ask("read", after=before)
    if told["count"] != _MESSAGES:
        raise RuntimeError(f"{told['count']} messages were read")
    return float(told["seconds"])


BENCHMARK = Benchmark(
    name="catch-up",
    about="10,000 messages in 200 channels after a downtime, against reading them",
    run=run,
)
