"""From a message in Discord to its commit at the runner, while many write in many channels.

Every runner is real and in the middle of a turn that does not end, so that messages arrive in
queues: what is measured is the way in, and not the turns of a hundred agents on one machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.commanded import Commanded, commanded
from benchmarks.many_runners import many_runners
from benchmarks.measure import Pairs, Samples
from benchmarks.proc import sizes
from benchmarks.result import (
    MEGABYTES,
    MILLISECONDS,
    PER_SECOND,
    Comparison,
    Goal,
    Row,
    at_most,
)
from repobridge_gateway import pacer
from repobridge_runner.settings import AgentSettings
from tests.fakes.scripted_claude.installed import ScriptedClaude

_CHANNELS = 100
_ROUNDS = 2
_PATIENCE_SECONDS = 180.0
_TURNS_A_SECOND = 10
_BARE = "discord.py, a pipe and two commits"


@dataclass(frozen=True, slots=True)
class _Rate:
    """So many messages a second, all in all so many."""

    a_second: int
    count: int
    goal: Goal | None = None
    """For the median of what we add."""


_RATES = (
    _Rate(10, 100, at_most(0.015)),
    _Rate(100, 1_000, at_most(0.015)),
    _Rate(1_000, 2_000),
)


@dataclass(frozen=True, slots=True)
class _Side:
    """Somebody who writes, and who takes it in."""

    discord: Commanded
    taker: Commanded

    async def round(self, rate: _Rate, text: str = "A line for the queue.") -> _Round:
        """Writes at a rate, and waits until all has arrived; raises where something did not."""
        told = await self.discord.ask("write", text=text, count=rate.count, a_second=rate.a_second)
        ids = [message_id for message_id, _ in told["written"]]
        due = [at for _, at in told["written"]]
        answer = await self.taker.ask("arrived", messages=ids, seconds=_PATIENCE_SECONDS)
        if missing := answer["missing"]:
            raise RuntimeError(f"{len(missing)} of {rate.count} messages did not arrive")
        waits = [at - when for at, when in zip(answer["at"], due, strict=True)]
        return _Round(waits, rate.count / (max(answer["at"]) - due[0]))


@dataclass(frozen=True, slots=True)
class _Round:
    waits: Sequence[float]
    a_second: float


@dataclass(slots=True)
class _Rounds:
    """Of one side."""

    waits: list[float] = field(default_factory=list)
    a_second: list[float] = field(default_factory=list)

    def add(self, each: _Round) -> None:
        self.waits += each.waits
        self.a_second.append(each.a_second)


async def run(setting: Setting) -> Sequence[Row]:
    """Both stand ready all the time, and take messages in by turns."""
    async with _ours(setting) as ours, _bare(setting) as bare:
        rows: list[Row] = []
        for rate in _RATES:
            figure, baseline = _Rounds(), _Rounds()
            for number in range(_ROUNDS):
                setting.say(f"  {rate.a_second:,} messages/s, round {number + 1} …")
                sides = [(ours, figure), (bare, baseline)]
                for side, rounds in sides[:: -1 if number % 2 else 1]:
                    rounds.add(await side.round(rate))
            rows += _rows(rate, figure, baseline)
        for side in (ours, bare):
            if failures := (await side.discord.ask("failures"))["failures"]:
                raise RuntimeError(f"the imitation of Discord: {failures}")
        return [*rows, _memory(ours, bare)]


def _rows(rate: _Rate, figure: _Rounds, baseline: _Rounds) -> list[Row]:
    where = f"{rate.a_second:,} messages/s in {_CHANNELS} channels"
    waits = Pairs(Samples(tuple(figure.waits)), Samples(tuple(baseline.waits)))
    rates = Pairs(Samples(tuple(figure.a_second)), Samples(tuple(baseline.a_second)))
    name = f"{where}: event → Submit committed"
    difference, ratio = Comparison.DIFFERENCE, Comparison.RATIO
    return [
        Row(name, waits, MILLISECONDS, difference, goal=rate.goal, baseline_name=_BARE),
        Row(name, waits, MILLISECONDS, difference, 0.99, baseline_name=_BARE),
        Row(name, waits, MILLISECONDS, ratio, baseline_name=_BARE),
        Row(name, waits, MILLISECONDS, ratio, 0.99, baseline_name=_BARE),
        Row(f"{where}: taken", rates, PER_SECOND, ratio, baseline_name=_BARE),
    ]


def _memory(ours: _Side, bare: _Side) -> Row:
    resident = [sizes(pid)["VmRSS"] for pid in (ours.taker.pid, bare.taker.told["pid"])]
    pairs = Pairs(Samples((resident[0],)), Samples((resident[1],)))
    name = f"resident memory of the gateway with {_CHANNELS} channels"
    return Row(name, pairs, MEGABYTES, Comparison.NONE, baseline_name="discord.py")


@asynccontextmanager
async def _ours(setting: Setting) -> AsyncIterator[_Side]:
    """A gateway whose runners are all in the middle of a turn."""
    place = setting.directory / "ours"
    agent = ScriptedClaude(place / "agent")
    gate = agent.gate("never")
    setting.say(f"  starting {_CHANNELS} runners …")
    async with (
        many_runners(
            place / "r",
            AgentSettings(**agent.agent),
            count=_CHANNELS,
            environment={"PATH": setting.environment["PATH"], "LANG": "C.UTF-8"},
        ) as sockets,
        _discord(place) as discord,
        commanded(
            "benchmarks.stamping_gateway",
            {
                **discord.told,
                "directory": str(place),
                "calls_per_second": pacer.PER_SECOND,
                "bridges": [
                    {"channel": channel, "socket": str(socket)}
                    for channel, socket in zip(discord.told["channels"], sockets, strict=True)
                ],
            },
            log=place / "gateway.log",
        ) as gateway,
    ):
        await discord.ask("connected")
        side = _Side(discord, gateway)
        await side.round(_Rate(_TURNS_A_SECOND, _CHANNELS), f"Wait.\n%gate {gate}")
        yield side


@asynccontextmanager
async def _bare(setting: Setting) -> AsyncIterator[_Side]:
    place = setting.directory / "bare"
    place.mkdir()
    async with (
        _discord(place) as discord,
        commanded(
            "benchmarks.bare_keeper",
            {**discord.told, "directory": str(place / "kept")},
            log=place / "keeper.log",
        ) as keeper,
    ):
        await discord.ask("connected")
        side = _Side(discord, keeper)
        await side.round(_RATES[1])
        yield side


def _discord(place: Path) -> AbstractAsyncContextManager[Commanded]:
    config = {"channels": _CHANNELS, "limits": True}
    return commanded("benchmarks.written_discord", config, log=place / "discord.log")


BENCHMARK = Benchmark(
    name="arrivals",
    about="a Discord message's commit at its runner, at 10, 100 and 1,000 a second",
    run=run,
)
