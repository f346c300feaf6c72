"""From a submitted message to its first byte at the agent's end of the terminal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.bare_file import BareFile
from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import interleaved
from benchmarks.result import MILLISECONDS, Comparison, Row
from benchmarks.stamping_agent import FIFO_VARIABLE, make_executable
from benchmarks.stamps import Stamps
from benchmarks.workplace import workplace
from repobridge.session.events import TurnEnded
from repobridge_runner.inputs import ENTER, paste
from repobridge_runner.screen import PROMPT
from tests.live_runner import LiveRunner

_TEXT = "Say one line."
_MESSAGES_A_PAIR = 4
_WARM_UP = 5
_COMMITS = 2  # the message is on disk when Submit answers, and its paste before the paste


async def run(setting: Setting) -> Sequence[Row]:
    """The whole way, against the terminal alone and against it with the two syncs on the way."""
    agent = make_executable(setting.directory / "agent")
    pairs = setting.pairs * _MESSAGES_A_PAIR
    bare_file = BareFile(setting.directory / "bare-file")
    with Stamps(setting.directory / "ours") as stamps, Stamps(setting.directory / "bare") as bare:
        environment = {FIFO_VARIABLE: str(stamps.path)}
        async with (
            workplace(setting.directory, setting.environment) as place,
            place.runner(agent={"executable": str(agent), "environment": environment}) as runner,
            _bare_terminal(agent, bare.path) as terminal,
        ):
            against_terminal = await interleaved(
                lambda: _ours(runner, stamps),
                lambda: _bare(terminal, bare),
                pairs=pairs,
                warm_up=_WARM_UP,
            )

            async def synced() -> float:
                started = time.perf_counter()
                await bare_file.write(_COMMITS)
                return time.perf_counter() - started + await _bare(terminal, bare)

            against_synced = await interleaved(
                lambda: _ours(runner, stamps), synced, pairs=pairs, warm_up=_WARM_UP
            )
    bare_file.close()
    name = "Submit → first byte in the PTY"
    pty = "write to a bare PTY"
    floor = f"{_COMMITS} bare syncs + {pty}"
    difference, ratio = Comparison.DIFFERENCE, Comparison.RATIO
    return (
        Row(name, against_terminal, MILLISECONDS, difference, baseline_name=pty),
        Row(name, against_terminal, MILLISECONDS, difference, 0.99, baseline_name=pty),
        Row(name, against_synced, MILLISECONDS, ratio, baseline_name=floor),
        Row(name, against_synced, MILLISECONDS, ratio, 0.99, baseline_name=floor),
    )


async def _ours(runner: LiveRunner, stamps: Stamps) -> float:
    before = len(runner.events)
    started = time.perf_counter()
    submitting = asyncio.create_task(runner.submit(_TEXT))
    elapsed = await stamps.next() - started
    await submitting
    await runner.next(TurnEnded, after=before)
    return elapsed


async def _bare(terminal: _BareTerminal, stamps: Stamps) -> float:
    started = time.perf_counter()
    terminal.write(paste(_TEXT))
    elapsed = await stamps.next() - started
    terminal.write(ENTER)
    await terminal.prompt()
    return elapsed


class _BareTerminal:
    """The agent on a terminal of its own that somebody reads."""

    def __init__(self, agent: Path, stamps: Path) -> None:
        self._painted = asyncio.Event()
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self._process = subprocess.Popen(
            [agent], stdin=slave, stdout=slave, stderr=slave,
            env={FIFO_VARIABLE: str(stamps)}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def write(self, data: bytes) -> None:
        """Writes to the agent, which is to paint its prompt again."""
        self._painted.clear()
        os.write(self._master, data)

    async def prompt(self) -> None:
        """Waits until the prompt is painted."""
        async with asyncio.timeout(20):
            await self._painted.wait()

    def close(self) -> None:
        """Ends the agent."""
        asyncio.get_running_loop().remove_reader(self._master)
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def _read(self) -> None:
        if PROMPT.encode() in os.read(self._master, 1 << 16):
            self._painted.set()


@asynccontextmanager
async def _bare_terminal(agent: Path, stamps: Path) -> AsyncIterator[_BareTerminal]:
    terminal = _BareTerminal(agent, stamps)
    try:
        await terminal.prompt()
        yield terminal
    finally:
        terminal.close()


BENCHMARK = Benchmark(
    name="submit",
    about="a submitted message's first byte in the PTY, against a write to a bare one",
    run=run,
)
