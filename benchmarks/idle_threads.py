"""The gateway's memory for threads in which nothing happens any more, beside discord.py's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.chatplace import bare_bot, chat_place
from benchmarks.commanded import Commanded, commanded
from benchmarks.measure import Pairs, Samples
from benchmarks.proc import proportional_bytes
from benchmarks.recording import Recording, record
from benchmarks.result import MEGABYTES, Comparison, Row, at_most
from benchmarks.workplace import workplace

_FIRST, _ALL = 1_000, 3_000
_GUILDS = 5  # Discord lets a thousand threads of a guild be open
_AT_ONCE = 20
_SETTLE_SECONDS = 3.0
_TEXT = "Say one line."
_BARE = "discord.py alone, which did the same to Discord"


async def run(setting: Setting) -> Sequence[Row]:
    """Each thread has a turn that is over: its message, its answer, its rows in the store."""
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner() as runner,
    ):
        await runner.turn("Begin.")
        recording = await record(runner, _TEXT)
    return await _measured(setting, recording)


async def _measured(setting: Setting, recording: Recording) -> Sequence[Row]:
    where = setting.directory / "chat"
    answer = recording.text.strip()
    config = {"guilds": _GUILDS, "channels": 1, "limits": False}
    log = setting.directory / "other.log"
    async with (
        chat_place(where, recording, guilds=_GUILDS, is_limited=False, keeps_pace=False) as chat,
        commanded("benchmarks.written_discord", config, log=log) as other,
        bare_bot(setting.directory, other, answer=answer) as bare,
    ):
        towns, bots = (chat.discord, other), (chat.gateway, bare)
        none = await _memory(bots)
        await _converse(setting, towns, _FIRST)
        first = await _memory(bots)
        await _converse(setting, towns, _ALL - _FIRST)
        last = await _memory(bots)
        assert (await bare.ask("threads"))["count"] == _ALL
    return _rows(none, first, last)


async def _converse(setting: Setting, towns: Sequence[Commanded], count: int) -> None:
    setting.say(f"  {count:,} threads are opened, asked in and answered …")
    began = time.perf_counter()
    await asyncio.gather(
        *(town.ask("converse", count=count, at_once=_AT_ONCE, text=_TEXT) for town in towns)
    )
    setting.say(f"  after {time.perf_counter() - began:.0f} s they are idle")


async def _memory(bots: Sequence[Commanded]) -> tuple[float, float]:
    await asyncio.sleep(_SETTLE_SECONDS)
    gateway, bare = (proportional_bytes(each.pid) for each in bots)
    return gateway, bare


def _rows(
    none: tuple[float, float], first: tuple[float, float], last: tuple[float, float]
) -> Sequence[Row]:
    def row(name: str, values: tuple[float, float], *, bound: float | None = None) -> Row:
        figure, baseline = (Samples((each,)) for each in values)
        return Row(
            name,
            Pairs(figure, baseline),
            MEGABYTES,
            Comparison.DIFFERENCE,
            goal=None if bound is None else at_most(bound),
            baseline_name=_BARE,
        )

    def grown(since: tuple[float, float], now: tuple[float, float]) -> tuple[float, float]:
        return now[0] - since[0], now[1] - since[1]

    thousands = (_ALL - _FIRST) / 1000
    gateway, bare = grown(first, last)
    return (
        row("memory of the gateway, no thread", none),
        row("more for the first 1,000 idle threads", grown(none, first)),
        row(
            "more for each further 1,000",
            (gateway / thousands, bare / thousands),
            bound=3e6,
        ),
    )


BENCHMARK = Benchmark(
    name="idle-threads",
    about="the gateway's memory for thousands of idle threads, beside discord.py's own",
    run=run,
)
