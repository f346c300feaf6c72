"""What it costs to hold a message against its limits, beside two libraries that do less."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from limits.aio.storage import MemoryStorage, RedisStorage
from throttled.asyncio import MemoryStore, RedisStore

from benchmarks.bare_file import BareFile
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.contest import Tally, contest
from benchmarks.crowds import crowds
from benchmarks.deciders import ONE, THREE, Rule, by_ledger, by_limits, by_throttled
from benchmarks.measure import Pairs
from benchmarks.result import MILLISECONDS, PER_SECOND, Comparison, Row
from repobridge_gateway.limits.memory import SIZE, MemoryLedger
from repobridge_gateway.limits.valkey.connection import ValkeySettings
from repobridge_gateway.limits.valkey.ledger import ValkeyLedger
from repobridge_gateway.store.sqlite import SqliteStore
from tests.valkey import serving

_SHAPES = {"one limit": ONE, "three limits": THREE}
_OURS = "ours"
_CALLERS = 64
_ROUNDS = 20
"""At most: each is of hundreds of decisions."""
_IN_MEMORY = 1000
_TOGETHER = 320
_ALONE = 50
"""Decisions of one round: in memory, of many callers, of one."""
_TIMEOUT_SECONDS = 60.0


async def run(setting: Setting) -> Sequence[Row]:
    """Each place by itself, and what a crowd takes of memory."""
    rows: list[Row] = []
    rounds = min(setting.pairs, _ROUNDS)
    for shape, rules in _SHAPES.items():
        rows += await _memory(shape, rules, rounds=rounds)
    setting.say("  in memory: measured; now on Valkey …")
    directory = setting.directory / "valkey"
    directory.mkdir()
    with serving(directory) as server:
        empty = (f"redis://127.0.0.1:{server.port}/{number}" for number in itertools.count())
        for shape, rules in _SHAPES.items():
            one = await _valkey(next(empty), rules, rounds=rounds, decisions=_ALONE, callers=1)
            rows += _waits(f"limits on Valkey, {shape}, one caller", one, 0.5)
            many = await _valkey(
                next(empty), rules, rounds=rounds, decisions=_TOGETHER, callers=_CALLERS
            )
            rows += _all(f"limits on Valkey, {shape}", many)
    setting.say("  on Valkey: measured; now in SQLite …")
    for shape, rules in _SHAPES.items():
        rows += await _sqlite(setting.directory, shape, rules, rounds=rounds)
    setting.say("  in SQLite: measured; now a crowd …")
    return [*rows, *await crowds(setting)]


async def _memory(shape: str, rules: Sequence[Rule], *, rounds: int) -> Sequence[Row]:
    ways = {
        _OURS: by_ledger(MemoryLedger(), rules),
        "throttled-py": by_throttled(MemoryStore(options={"MAX_SIZE": SIZE}), rules),
        "limits": by_limits(MemoryStorage(), rules),
    }
    # Nothing waits there, so that many callers are asked one after the other.
    found = await contest(ways, rounds=rounds, decisions=_IN_MEMORY, callers=1)
    return _rates(f"limits in memory, {shape}", found)


async def _valkey(
    url: str, rules: Sequence[Rule], *, rounds: int, decisions: int, callers: int
) -> Mapping[str, Tally]:
    ledger = ValkeyLedger(ValkeySettings(url=url, timeout_seconds=_TIMEOUT_SECONDS))
    ways = {
        _OURS: by_ledger(ledger, rules),
        "throttled-py": by_throttled(RedisStore(url), rules),
        "limits": by_limits(RedisStorage(f"async+{url}", implementation="redispy"), rules),
    }
    try:
        return await contest(ways, rounds=rounds, decisions=decisions, callers=callers)
    finally:
        await ledger.close()


async def _sqlite(
    directory: Path, shape: str, rules: Sequence[Rule], *, rounds: int
) -> Sequence[Row]:
    store = await SqliteStore.open(directory / f"store-{len(rules)}")
    bare = BareFile(directory / f"bare-{len(rules)}")

    async def synced(_: int) -> bool:
        await asyncio.sleep(0)  # behind all others
        await bare.write()
        return True

    try:
        ways = {_OURS: by_ledger(store.ledger, rules), "overwrite + fdatasync, in turn": synced}
        found = await contest(ways, rounds=rounds, decisions=_TOGETHER, callers=_CALLERS)
    finally:
        bare.close()
        await store.close()
    return _all(f"limits in SQLite, {shape}", found)


def _all(name: str, found: Mapping[str, Tally]) -> Sequence[Row]:
    name = f"{name}, {_CALLERS} callers"
    return [*_rates(name, found), *_waits(name, found, 0.5), *_waits(name, found, 0.99)]


def _rates(name: str, found: Mapping[str, Tally]) -> Sequence[Row]:
    ours = found[_OURS].rate
    return [
        Row(
            f"{name}: decisions",
            Pairs(ours, tally.rate),
            PER_SECOND,
            Comparison.RATIO,
            baseline_name=other,
        )
        for other, tally in found.items()
        if other != _OURS
    ]


def _waits(name: str, found: Mapping[str, Tally], quantile: float) -> Sequence[Row]:
    ours = found[_OURS].latency
    return [
        Row(
            f"{name}: wait for a decision",
            Pairs(ours, tally.latency),
            MILLISECONDS,
            Comparison.RATIO,
            quantile=quantile,
            baseline_name=other,
        )
        for other, tally in found.items()
        if other != _OURS
    ]


BENCHMARK = Benchmark(
    name="limits",
    about="a message against one and three limits, beside throttled-py and limits, which do less",
    run=run,
)
