"""SIGHUP of a process: a person's wish, or a terminal that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "programs" / "signalled.py"
NOHUP = (
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(*eval({!r}))"
)
PATIENCE_SECONDS = 120.0


class Signalled:
    """A program that says what it is asked."""

    def __init__(self, process: asyncio.subprocess.Process, master: int | None) -> None:
        self.process = process
        self._master = master

    async def said(self) -> str:
        """The next thing that it says; empty: it has ended."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await self.process.stdout.readline()).decode().strip()

    def hang_up(self) -> None:
        """Takes its terminal away."""
        if self._master is not None:
            os.close(self._master)
            self._master = None


@asynccontextmanager
async def signalled(*, on_terminal: bool, nohup: bool = False) -> AsyncIterator[Signalled]:
    command = [sys.executable, str(PROGRAM), *(["--terminal"] if on_terminal else [])]
    if nohup:
        command = [sys.executable, "-c", NOHUP.format(repr((sys.executable, command)))]
    master, slave = pty.openpty() if on_terminal else (None, asyncio.subprocess.DEVNULL)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=slave, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    if on_terminal:
        os.close(slave)
    live = Signalled(process, master)
    try:
        assert await live.said() == "listens"
        yield live
    finally:
        live.hang_up()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_without_a_terminal_sighup_is_a_wish_and_sigterm_the_end() -> None:
    async with signalled(on_terminal=False) as live:
        live.process.send_signal(signal.SIGHUP)
        assert await live.said() == "reload"
        live.process.send_signal(signal.SIGTERM)
        assert (await live.said(), await live.said()) == ("end", "")
        assert await live.process.wait() == 0


async def test_on_a_terminal_sighup_is_a_wish_until_the_terminal_is_gone() -> None:
    async with signalled(on_terminal=True) as live:
        live.process.send_signal(signal.SIGHUP)
        assert await live.said() == "reload"
        live.hang_up()
        assert (await live.said(), await live.said()) == ("end", "")


async def test_what_was_to_outlive_its_terminal_does_and_then_hears_wishes() -> None:
    async with signalled(on_terminal=True, nohup=True) as live:
        live.hang_up()
        saying = asyncio.create_task(live.said())
        async with asyncio.timeout(PATIENCE_SECONDS):
            # Two signals of a kind may arrive as one, which is then the terminal's.
            while not saying.done():
                live.process.send_signal(signal.SIGHUP)
                await asyncio.wait({saying}, timeout=0.1)
        assert await saying == "reload"
