"""Turns that stream into 1, 10 and 50 channels at once, against what Discord allows at most."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.chatplace import ChatPlace, chat_place
from benchmarks.commanded import Json
from benchmarks.measure import Pairs, Samples
from benchmarks.proc import cpu_seconds
from benchmarks.recording import Recording, line, record
from benchmarks.result import (
    COUNT,
    MILLISECONDS,
    PER_SECOND,
    Comparison,
    Goal,
    Row,
    Unit,
    at_least,
    at_most,
)
from benchmarks.streams_seen import Stream, refused, stream_of
from benchmarks.workplace import workplace
from tests.fakes.anthropic import FakeAnthropic, Message, Pause, Text, bash

_CHANNELS = (1, 10, 50)
_A_SECOND_IN_A_CHANNEL = 1.0
_A_SECOND_IN_ALL = 50.0
_LINES = 36
_LINE_SECONDS = 0.25
_QUIET_SECONDS = 3.0
_LONGEST_SECONDS = 150.0


@dataclass(frozen=True, slots=True)
class _Run:
    """So many turns at once."""

    streams: tuple[Stream, ...]
    refused: int
    processor: float
    """Seconds of the gateway's, from the messages to the last answer."""
    seconds: float
    edits: int

    @property
    def characters(self) -> int:
        """What was written into the logs."""
        return sum(each.written for each in self.streams)


async def run(setting: Setting) -> Sequence[Row]:
    """One turn of the real CLI, recorded, then replayed into more and more channels."""
    setting.say("  a turn of the real CLI is recorded …")
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner() as runner,
    ):
        await runner.turn("Begin.")
        _script(place.api)
        recording = await record(runner, "Speak.")
    rows: list[Row] = []
    for count in _CHANNELS:
        setting.say(f"  {count} channels …")
        async with chat_place(setting.directory / str(count), recording, channels=count) as chat:
            seen = await _replay(chat)
            rows += _rows(seen)
            if count == _CHANNELS[-1]:
                setting.say("  discord.py alone …")
                rows.append(_cost(seen, await _bare_cost(chat, seen, recording)))
    return rows


def _script(api: FakeAnthropic) -> None:
    api.script(
        Message([_spoken(1, _LINES), bash("seq 1 3")]),
        _spoken(_LINES + 1, 2 * _LINES),
    )


def _spoken(first: int, last: int) -> Text:
    """Lines that say which they are, at the pace of a fast model."""
    parts: list[str | Pause] = []
    for number in range(first, last + 1):
        parts += [line(number), Pause(_LINE_SECONDS)]
    return Text(parts)


async def _replay(chat: ChatPlace) -> _Run:
    before = cpu_seconds(chat.gateway.pid)
    count = len(chat.channels)
    said = await chat.discord.ask("write", text="Speak.", count=count, a_second=0)
    began = said["written"][0][1]
    requests, logs = await _seen(chat)
    streams = tuple(
        stream_of(channel, log, requests, began=began, period=1 / _allowed(count))
        for channel, log in zip(chat.channels, logs, strict=True)
    )
    return _Run(
        streams=streams,
        refused=refused(requests),
        processor=cpu_seconds(chat.gateway.pid) - before,
        seconds=max(log["ended"] for log in logs) - began,
        edits=sum(each.edits for each in streams),
    )


async def _seen(chat: ChatPlace) -> tuple[list[Json], list[Json]]:
    """What was asked of Discord until all turns were over and it was quiet, and the logs."""
    requests: list[Json] = []
    async with asyncio.timeout(_LONGEST_SECONDS):
        while True:
            await asyncio.sleep(_QUIET_SECONDS)
            new: list[Json] = (await chat.discord.ask("requests"))["requests"]
            requests += new
            logs: list[Json] = (await chat.runners.ask("written"))["logs"]
            if not new and all(log["ended"] for log in logs):
                break
    if failures := (await chat.discord.ask("failures"))["failures"]:
        raise RuntimeError(f"the imitation of Discord: {failures}")
    return requests, logs


def _allowed(channels: int) -> float:
    """Edits a second in each of so many channels."""
    return min(_A_SECOND_IN_A_CHANNEL, _A_SECOND_IN_ALL / channels)


def _rows(seen: _Run) -> list[Row]:
    count = len(seen.streams)
    allowed = _allowed(count)
    rates = [each.edits / each.seconds for each in seen.streams]
    arrived = [each.written / each.seconds for each in seen.streams]
    shown = [each.shown / each.seconds for each in seen.streams]
    delays = _joined([each.delays for each in seen.streams])
    ideal = _joined([each.ideal_delays for each in seen.streams])
    answered = sorted(each.answered for each in seen.streams)
    marked = sorted(each.marked for each in seen.streams)
    # All turns begin and end at once, and a second has not room for all of their calls.
    at_limit = [number / _A_SECOND_IN_ALL for number in range(count)]

    def row(
        name: str,
        figure: Sequence[float],
        baseline: Sequence[float],
        unit: Unit,
        comparison: Comparison,
        *,
        beside: str,
        quantile: float = 0.5,
        goal: Goal | None = None,
    ) -> Row:
        return Row(
            f"{count} streaming channel{'s' if count > 1 else ''}: {name}",
            Pairs(Samples(tuple(figure)), Samples(tuple(baseline))),
            unit,
            comparison,
            quantile=quantile,
            goal=goal,
            baseline_name=beside,
        )

    ratio, difference, none = Comparison.RATIO, Comparison.DIFFERENCE, Comparison.NONE
    each_second, at_once = "an edit as often as Discord allows", "50 a second"
    rows = [
        row("edits in each", rates, [allowed] * count, _EDITS, ratio,
            beside="what Discord allows", goal=at_least(0.8)),
        row("characters shown in each", shown, arrived, PER_SECOND, ratio,
            beside="written into the log", goal=at_least(0.9)),
        row("in the log → in the channel", delays, ideal, MILLISECONDS, difference,
            beside=each_second, goal=at_most(0.25)),
        row("in the log → in the channel", delays, ideal, MILLISECONDS, difference,
            beside=each_second, quantile=0.99, goal=at_most(1.0)),
        row("end of the turn → answer", answered, at_limit, MILLISECONDS, difference,
            beside=at_once),
        row("message → 👀", marked, at_limit, MILLISECONDS, difference, beside=at_once),
        row("429s taken", [seen.refused], [0], COUNT, none, beside="", goal=at_most(0)),
    ]  # fmt: skip
    if count > 1:
        rows += [
            row("end of the turn → answer", answered, at_limit, MILLISECONDS, difference,
                beside=at_once, quantile=0.99),
            row("edits in the slowest", [min(rates)], [max(rates)], _EDITS, ratio,
                beside="in the fastest", goal=at_least(0.8)),
        ]  # fmt: skip
    return rows


async def _bare_cost(chat: ChatPlace, seen: _Run, recording: Recording) -> float:
    await chat.gateway.end()
    async with chat.bare() as bare:
        told = await bare.ask(
            "edit",
            channels=chat.channels,
            edits=seen.edits,
            seconds=seen.seconds,
            text=recording.text[-1800:],
        )
    return float(told["processor"])


def _cost(seen: _Run, bare: float) -> Row:
    per_thousand = seen.characters / 1000
    return Row(
        f"{len(seen.streams)} streaming channels: processor time for 1,000 characters",
        Pairs(Samples((seen.processor / per_thousand,)), Samples((bare / per_thousand,))),
        MILLISECONDS,
        Comparison.RATIO,
        baseline_name="discord.py alone, the same number of edits",
        goal=at_most(4.0),
    )


def _joined(parts: Sequence[Sequence[float]]) -> list[float]:
    return [each for part in parts for each in part]


_EDITS = Unit("/s", "/s", 1, 2)

BENCHMARK = Benchmark(
    name="streaming",
    about="turns streamed into 1, 10 and 50 channels at once, against what Discord allows",
    run=run,
)
