"""From a submitted message to its first text at a subscriber, against the bare CLI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.bare_claude import BareClaude
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import interleaved
from benchmarks.result import MILLISECONDS, Comparison, Row, at_most
from benchmarks.workplace import workplace
from repobridge.session.events import Actor, TextDelta, TurnEnded
from repobridge_runner.prompts import make_prompt
from tests.live_runner import LiveRunner

_TEXT = "Say one line."
_AUTHOR = Actor(id="uid:1", display_name="Ann", source="terminal")
_SETTLE_SECONDS = 0.15
_WARM_UP = 3


async def run(setting: Setting) -> Sequence[Row]:
    """Turns of the runner and of the bare CLI, in turn, each in one long session."""
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner() as runner,
        place.bare_claude() as bare,
    ):
        pairs = await interleaved(
            lambda: _ours(runner), lambda: _bare(bare), pairs=setting.pairs, warm_up=_WARM_UP
        )
    name, baseline = "Submit → first text at a subscriber", "bare CLI"
    return (
        Row(
            name,
            pairs,
            MILLISECONDS,
            Comparison.DIFFERENCE,
            goal=at_most(0.025),
            baseline_name=baseline,
        ),
        Row(
            name, pairs, MILLISECONDS, Comparison.DIFFERENCE, quantile=0.99, baseline_name=baseline
        ),
        Row(name, pairs, MILLISECONDS, Comparison.RATIO, baseline_name=baseline),
    )


async def _ours(runner: LiveRunner) -> float:
    before = len(runner.events)
    started = time.perf_counter()
    submitting = asyncio.create_task(runner.submit(_TEXT))
    await runner.next(TextDelta, after=before, where=lambda delta: bool(delta.markdown))
    elapsed = time.perf_counter() - started
    await submitting
    await runner.next(TurnEnded, after=before)
    await asyncio.sleep(_SETTLE_SECONDS)
    return elapsed


async def _bare(bare: BareClaude) -> float:
    elapsed = await bare.first_delta(make_prompt(_TEXT, author=_AUTHOR))
    await asyncio.sleep(_SETTLE_SECONDS)
    return elapsed


BENCHMARK = Benchmark(
    name="first-delta",
    about="a submitted message's first text at a subscriber, against the bare CLI",
    run=run,
)
