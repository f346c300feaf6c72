"""From a submitted message to its first text at a subscriber, against the bare CLI."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence

from benchmarks.bare_claude import BareClaude
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, interleaved
from benchmarks.result import MILLISECONDS, Comparison, Row, at_most
from benchmarks.workplace import workplace
from repobridge.session.events import Actor, TextDelta, TurnEnded
from repobridge_runner.prompts import make_prompt
from tests.live_runner import LiveRunner

_TEXTS = {
    "a short message": "Say one line.",
    "one of 1,000 characters": "Say one line, whatever else you may read here. " * 21,
}
_AUTHOR = Actor(id="uid:1", display_name="Ann", source="terminal")
_SETTLE_SECONDS = 0.25
_WARM_UP = 3


async def run(setting: Setting) -> Sequence[Row]:
    """Turns of the runner and of the bare CLI, in turn, each in one long session."""
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner() as runner,
        place.bare_claude() as bare,
    ):
        rows: list[Row] = []
        for name, text in _TEXTS.items():
            pairs = await interleaved(
                functools.partial(_ours, runner, text),
                functools.partial(_bare, bare, text),
                pairs=max(1, setting.pairs * 3 // 5),  # a turn is dear
                warm_up=_WARM_UP,
            )
            rows += _rows(f"Submit → first text at a subscriber, {name}", pairs)
    return rows


def _rows(name: str, pairs: Pairs) -> Sequence[Row]:
    difference, baseline = Comparison.DIFFERENCE, "bare CLI"
    goal = at_most(0.025)
    return (
        Row(name, pairs, MILLISECONDS, difference, goal=goal, baseline_name=baseline),
        Row(name, pairs, MILLISECONDS, difference, quantile=0.99, baseline_name=baseline),
        Row(name, pairs, MILLISECONDS, Comparison.RATIO, baseline_name=baseline),
    )


async def _ours(runner: LiveRunner, text: str) -> float:
    before = len(runner.events)
    started = time.perf_counter()
    submitting = asyncio.create_task(runner.submit(text))
    await runner.next(TextDelta, after=before, where=lambda delta: bool(delta.markdown))
    elapsed = time.perf_counter() - started
    await submitting
    await runner.next(TurnEnded, after=before)
    await asyncio.sleep(_SETTLE_SECONDS)
    return elapsed


async def _bare(bare: BareClaude, text: str) -> float:
    elapsed = await bare.first_delta(make_prompt(text, author=_AUTHOR))
    await asyncio.sleep(_SETTLE_SECONDS)
    return elapsed


BENCHMARK = Benchmark(
    name="first-delta",
    about="a submitted message's first text at a subscriber, against the bare CLI",
    run=run,
)
