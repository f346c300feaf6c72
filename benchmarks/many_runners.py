"""Many real runners at once, each a process of its own with a scripted agent."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from repobridge_runner.settings import AgentSettings, RunnerSettings, dump

_START_SECONDS = 120.0
_END_SECONDS = 20.0
_STARTING = 4
"""At a time: each takes a core for half a second."""


@asynccontextmanager
async def many_runners(
    directory: Path, agent: AgentSettings, *, count: int, environment: Mapping[str, str]
) -> AsyncIterator[Sequence[Path]]:
    """So many runners that answer, by their sockets; killed at the end, with their agents.

    Their queues take whatever comes.
    """
    places = [directory / str(number) for number in range(count)]
    processes: list[asyncio.subprocess.Process] = []
    may_start = asyncio.Semaphore(_STARTING)

    async def start(place: Path) -> None:
        async with may_start:
            processes.append(await _started(place, agent, environment))

    try:
        async with asyncio.timeout(_START_SECONDS), asyncio.TaskGroup() as tasks:
            for place in places:
                tasks.create_task(start(place))
        yield [_socket(place) for place in places]
    finally:
        await asyncio.gather(*map(_end, processes))


async def _started(
    place: Path, agent: AgentSettings, environment: Mapping[str, str]
) -> asyncio.subprocess.Process:
    work = place / "work"
    work.mkdir(parents=True)
    settings = RunnerSettings(
        bridge_uid=str(uuid.uuid4()),
        directory=work,
        state_dir=place / "state",
        socket=_socket(place),
        agent=agent,
        queue_length=1_000_000,
        confirm_seconds=_START_SECONDS,
        shutdown_grace_seconds=0.0,
    )
    config = place / "runner.json"
    config.write_text(dump(settings))
    with (place / "runner.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "repobridge_runner", "--config", str(config),
            env={**environment, "HOME": str(place)}, cwd=place, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=log,
        )  # fmt: skip
    await _answers(process, settings.socket, log=place / "runner.log")
    return process


async def _answers(process: asyncio.subprocess.Process, socket: Path, *, log: Path) -> None:
    """Waits for a runner; raises RuntimeError with what it said where it ends instead."""
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        ready = asyncio.ensure_future(channel.channel_ready())
        ended = asyncio.create_task(process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        for each in (ready, ended):
            each.cancel()
    if process.returncode is not None:
        raise RuntimeError(f"a runner ended: {log.read_text()}")


def _socket(place: Path) -> Path:
    return place / "run" / "s"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
