"""Programs of a benchmark in processes of their own, that are told what to do line by line.

Each line is JSON: the first one down is the configuration, answered once the program is ready;
every other is a command with `act`, and has one answer. The program ends with the lines.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]
PATIENCE_SECONDS = 240.0
_LONGEST_LINE = 1 << 28
_LOG_CHARACTERS = 2000


class Commanded:
    """One such program, from its parent's side."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.told: Json = {}
        """What it answered to its configuration."""

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def ask(self, act: str, **arguments: Any) -> Json:
        """Has it do something; returns once it is done."""
        return await self.tell({"act": act, **arguments})

    async def tell(self, line: Mapping[str, Any]) -> Json:
        """Writes a line and reads its answer; raises RuntimeError with the log of one that died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"it ended: {self._log.read_text()[-_LOG_CHARACTERS:]}")
        found: Json = json.loads(answer)
        return found

    async def end(self) -> None:
        """Tells it nothing any more; killed where that is not enough."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def commanded(
    module: str, config: Mapping[str, Any], *, log: Path
) -> AsyncIterator[Commanded]:
    """Runs a module that `obeys`; `log` takes what it says besides."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=_LONGEST_LINE,
        )  # fmt: skip
    program = Commanded(process, log)
    try:
        program.told = await program.tell(config)
        yield program
    finally:
        await program.end()


async def configuration() -> Json:
    """The first line that this program is told."""
    found: Json = json.loads(await asyncio.to_thread(sys.stdin.buffer.readline))
    return found


async def obey(
    acts: Mapping[str, Callable[..., Awaitable[Json]]], *, ready: Mapping[str, Any] | None = None
) -> None:
    """Says that this program is ready, and does what it is told until nobody tells it anything.

    Commands are taken one after the other. An act that fails ends the program.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent that ends us
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    _answer(dict(ready or {}))
    while line := await reader.readline():
        command: Json = json.loads(line)
        _answer(await acts[command.pop("act")](**command))


def _answer(line: Mapping[str, Any]) -> None:
    data = json.dumps(line).encode() + b"\n"
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
