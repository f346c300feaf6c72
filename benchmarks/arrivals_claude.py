"""From a message in Discord to the real CLI's taking it, against the same text typed into one.

Ten channels have a runner each, with a session that has had a turn. One after the other gets a
message, whose turn is over before the next one's; as many bare CLIs stand beside them.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.bare_claude import BareClaude
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.commanded import Commanded, commanded
from benchmarks.measure import Pairs, Samples, interleaved
from benchmarks.result import MILLISECONDS, Comparison, Row, at_most
from benchmarks.workplace import Workplace, workplace
from repobridge.session.events import Actor, MessageChanged, MessageState, TurnEnded, TurnOpened
from repobridge_gateway import pacer
from repobridge_runner.prompts import make_prompt
from tests.live_runner import LiveRunner, live_runner
from tests.session.conftest import make_repository

_CHANNELS = 10
_TEXT = "Say one line."
_AUTHOR = Actor(id="uid:1", display_name="ann", source="discord")
_SETTLE_SECONDS = 0.25
_WARM_UP = 2


@dataclass(slots=True)
class _Channels:
    """The channels in their order, and the runners behind them."""

    discord: Commanded
    runners: Sequence[LiveRunner]
    pasted: list[float] = field(default_factory=list)
    """Of each message so far, the seconds until its paste."""
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def message(self) -> float:
        """Seconds until the CLI of the next channel has taken a message, after the turn's end."""
        number = next(self._numbers) % len(self.runners)
        runner = self.runners[number]
        before = len(runner.events)
        pasting = asyncio.create_task(_pasting(runner, before))
        opened = asyncio.create_task(_opened(runner, before))
        told = await self.discord.ask("write", text=_TEXT, count=1, a_second=0, first=number)
        [[_, written]] = told["written"]
        self.pasted.append(await pasting - written)
        elapsed: float = await opened - written
        await runner.next(TurnEnded, after=before)
        await asyncio.sleep(_SETTLE_SECONDS)
        return elapsed


async def _pasting(runner: LiveRunner, before: int) -> float:
    await runner.next(MessageChanged, after=before, where=lambda m: m.state is MessageState.PASTING)
    return time.monotonic()


async def _opened(runner: LiveRunner, before: int) -> float:
    await runner.next(TurnOpened, after=before)
    return time.monotonic()


async def run(setting: Setting) -> Sequence[Row]:
    """Messages to the channels, and the bare CLI's turns between them."""
    async with (
        workplace(setting.directory, setting.environment) as place,
        _channels(place, setting) as channels,
        _bare_clis(place) as bare,
    ):

        async def typed() -> float:
            elapsed = await next(bare).taken(make_prompt(_TEXT, author=_AUTHOR))
            await asyncio.sleep(_SETTLE_SECONDS)
            return elapsed

        for _ in range(_CHANNELS):  # a session's first turn is another matter
            await channels.message()
            await typed()
        channels.pasted.clear()
        pairs = await interleaved(
            channels.message, typed, pairs=max(_CHANNELS, setting.pairs * 3 // 5), warm_up=_WARM_UP
        )
    return _rows(pairs, channels.pasted[_WARM_UP:])


def _rows(pairs: Pairs, pasted: Sequence[float]) -> Sequence[Row]:
    where = f"a message in one of {_CHANNELS} channels with the real CLI"
    taken, bare = f"{where}: event → prompt taken", "typed into a bare CLI"
    beside = Pairs(Samples(tuple(pasted)), pairs.baseline)
    difference, ratio = Comparison.DIFFERENCE, Comparison.RATIO
    return (
        Row(taken, pairs, MILLISECONDS, difference, goal=at_most(0.04), baseline_name=bare),
        Row(taken, pairs, MILLISECONDS, difference, 0.99, baseline_name=bare),
        Row(taken, pairs, MILLISECONDS, ratio, baseline_name=bare),
        Row(
            f"{where}: event → its paste", beside, MILLISECONDS, Comparison.NONE, baseline_name=bare
        ),
        Row(
            f"{where}: event → its paste",
            beside,
            MILLISECONDS,
            Comparison.NONE,
            0.99,
            baseline_name=bare,
        ),
    )


@asynccontextmanager
async def _bare_clis(place: Workplace) -> AsyncIterator[Iterator[BareClaude]]:
    """As many, which have as long a rest between their turns."""
    async with AsyncExitStack() as stack:
        names = [f"bare-{number}" for number in range(_CHANNELS)]
        clis = [await stack.enter_async_context(place.bare_claude(name)) for name in names]
        yield itertools.cycle(clis)


@asynccontextmanager
async def _channels(place: Workplace, setting: Setting) -> AsyncIterator[_Channels]:
    async with AsyncExitStack() as stack:
        runners = []
        for number in range(_CHANNELS):
            repository = place.directory / "repositories" / str(number)
            make_repository(repository)
            home = place.directory / f"r{number}"
            running = live_runner(repository, home, claude=place.claude, api=place.api)
            runners.append(await stack.enter_async_context(running))
        discord = await stack.enter_async_context(
            commanded(
                "benchmarks.written_discord",
                {"channels": _CHANNELS, "limits": True},
                log=setting.directory / "discord.log",
            )
        )
        config = {
            **discord.told,
            "directory": str(place.directory),
            "calls_per_second": pacer.PER_SECOND,
            "bridges": [
                {"channel": channel, "socket": str(runner.settings.socket)}
                for channel, runner in zip(discord.told["channels"], runners, strict=True)
            ],
        }
        log = setting.directory / "gateway.log"
        await stack.enter_async_context(commanded("benchmarks.stamping_gateway", config, log=log))
        await discord.ask("connected")
        yield _Channels(discord, runners)


BENCHMARK = Benchmark(
    name="arrivals-claude",
    about="a Discord message's way into the real CLI, against the same text typed into one",
    run=run,
)
