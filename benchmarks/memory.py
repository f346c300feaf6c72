"""The runner's resident memory beside that of the CLI: with one idle session, and for each more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, Samples
from benchmarks.proc import sizes
from benchmarks.result import MEGABYTES, Comparison, Row, at_most
from benchmarks.workplace import workplace
from repobridge.session.events import SessionChanged, SessionState
from tests.live_runner import LiveRunner

_RUNS = 2
_SESSIONS = 10
_TURNS_EACH = 3
_SETTLE_SECONDS = 1.0


async def run(setting: Setting) -> Sequence[Row]:
    """Idle sessions that had some turns each; resident counts every page, shared or not."""
    one, further, own, cli = [], [], [], []
    for number in range(_RUNS):
        directory = setting.directory / str(number)
        async with (
            workplace(directory, setting.environment) as place,
            place.runner(live_sessions=_SESSIONS) as runner,
        ):
            await _session(runner, "main")
            first = await _idle(runner)
            for more in range(1, _SESSIONS):
                await _session(runner, f"thread-{more}")
            last = await _idle(runner)
            one.append(first["VmRSS"])
            own.append(first["RssAnon"])
            further.append((last["VmRSS"] - first["VmRSS"]) / (_SESSIONS - 1))
            agents = _agents(runner.process.pid, named=place.claude.name)
            assert len(agents) == _SESSIONS, "all of them live"
            cli.append(_median(agents))
    beside = Samples(tuple(cli))

    def row(name: str, values: Sequence[float], bound: float | None) -> Row:
        return Row(
            name,
            Pairs(Samples(tuple(values)), beside),
            MEGABYTES,
            Comparison.NONE,
            goal=None if bound is None else at_most(bound),
            baseline_name="the CLI of one session",
        )

    return (
        row("resident memory of the runner, one idle session", one, 60e6),
        row("of that, its own pages", own, None),
        row(f"each further idle session, of {_SESSIONS}", further, 3e6),
    )


async def _session(runner: LiveRunner, conversation_id: str) -> None:
    for number in range(_TURNS_EACH):
        before = len(runner.events)
        text = f"Say one line, for the {number + 1}. time."
        await runner.turn(text, conversation_id=conversation_id)
        await runner.next(
            SessionChanged, after=before, where=lambda s: s.state is SessionState.READY
        )


async def _idle(runner: LiveRunner) -> dict[str, float]:
    await asyncio.sleep(_SETTLE_SECONDS)
    return sizes(runner.process.pid)


def _agents(runner: int, *, named: str) -> list[float]:
    found = []
    for child in Path(f"/proc/{runner}/task/{runner}/children").read_text().split():
        if named in Path(f"/proc/{child}/cmdline").read_text():
            found.append(sizes(int(child))["VmRSS"])
    return found


def _median(values: Sequence[float]) -> float:
    return Samples(tuple(values)).p50


BENCHMARK = Benchmark(
    name="memory",
    about="the runner's resident memory for its sessions, beside the CLI's",
    run=run,
)
