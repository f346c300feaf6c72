"""From an agent's start to its standing ready, against the bare CLI's spawn."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.bare_claude import QUIET_SECONDS, BareClaude
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import interleaved
from benchmarks.result import MILLISECONDS, Comparison, Row
from benchmarks.workplace import workplace
from repobridge.session.events import SessionState
from repobridge.session.v1 import session_pb2 as pb
from tests.live_runner import PATIENCE_SECONDS, LiveRunner

_PAIRS_A_START = 5  # a start is dear


async def run(setting: Setting) -> Sequence[Row]:
    """Both resume a session of one turn, again and again."""
    async with (
        workplace(setting.directory, setting.environment) as place,
        place.runner() as runner,
        place.bare_claude() as bare,
    ):
        await runner.turn("Say one line.")
        await bare.first_delta("Say one line.")
        pairs = await interleaved(
            lambda: _ours(runner),
            lambda: _bare(bare),
            pairs=max(1, setting.pairs // _PAIRS_A_START),
        )
    name = "spawn → ready"
    baseline = f"bare CLI, prompt painted + {QUIET_SECONDS:g} s of quiet"
    difference, ratio = Comparison.DIFFERENCE, Comparison.RATIO
    return (
        Row(name, pairs, MILLISECONDS, ratio, baseline_name=baseline),
        Row(name, pairs, MILLISECONDS, difference, baseline_name=baseline),
        Row(name, pairs, MILLISECONDS, difference, 0.99, baseline_name=baseline),
    )


async def _ours(runner: LiveRunner) -> float:
    before = len(runner.events)
    restart = pb.ControlRequest(conversation_id="main", restart=pb.ControlRequest.Restart())
    await runner.stub.Control(restart, timeout=PATIENCE_SECONDS)
    await runner.state(SessionState.STARTING, after=before)
    started = time.perf_counter()
    await runner.state(SessionState.READY, after=before)
    return time.perf_counter() - started


async def _bare(bare: BareClaude) -> float:
    await bare.stop()
    return await bare.start()


BENCHMARK = Benchmark(
    name="ready",
    about="an agent's start until it stands ready, against the bare CLI's",
    run=run,
)
