"""How fast a terminal's output is drained, and what a flood costs another session."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.benchmark import Benchmark, Setting
from benchmarks.measure import Pairs, interleaved
from benchmarks.result import (
    MEGABYTES_PER_SECOND,
    MILLISECONDS,
    Comparison,
    Row,
    at_least,
    at_most,
)
from repobridge_runner.terminal import Terminal, WindowSize

_FLOOD_BYTES = 40_000_000
_FLOOD = ("head", "-c", str(_FLOOD_BYTES), "/dev/zero")
_ENDLESS = ("cat", "/dev/zero")
_READ_BYTES = 1 << 16
_PAIRS_A_FLOOD = 2  # a flood is dear
_EVENTS_A_PAIR = 10
_SETTLE_SECONDS = 0.02
_SIZE = WindowSize(columns=80, rows=24)


async def run(setting: Setting) -> Sequence[Row]:
    """The rate against two bare readers, and the delay of a socket beside a flood."""
    environment = {"PATH": setting.environment.get("PATH", os.defpath)}

    async def ours() -> float:
        return await _ours(environment)

    floods = max(1, setting.pairs // _PAIRS_A_FLOOD)
    against_reader = await interleaved(ours, lambda: _bare(_read_by_loop), pairs=floods)
    against_cat = await interleaved(ours, lambda: _bare(_read_by_cat), pairs=floods)
    delays = await _delays(environment, pairs=setting.pairs * _EVENTS_A_PAIR)
    name = "terminal drain"
    return (
        Row(
            name,
            against_reader,
            MEGABYTES_PER_SECOND,
            Comparison.RATIO,
            goal=at_least(0.6),
            baseline_name="bare asyncio reader",
        ),
        Row(
            name,
            against_cat,
            MEGABYTES_PER_SECOND,
            Comparison.RATIO,
            baseline_name="cat to /dev/null",
        ),
        Row(
            "another session's event during a flood",
            delays,
            MILLISECONDS,
            Comparison.DIFFERENCE,
            quantile=0.99,
            goal=at_most(0.05),
            baseline_name="no flood",
        ),
    )


async def _ours(environment: Mapping[str, str]) -> float:
    """The rate of a terminal with its ring and one follower."""
    # The launch is over when the clock starts; how long it takes is measured elsewhere.
    terminal = await Terminal.spawn(
        ["sh", "-c", f"read -r line; stty raw; {' '.join(_FLOOD)}"],
        environment=environment,
        directory=Path("/"),
        size=_SIZE,
    )
    with terminal.viewer() as viewer:
        started = time.perf_counter()
        terminal.write(b"\n")
        async for _ in viewer:
            if terminal.output_bytes >= _FLOOD_BYTES:
                break
        elapsed = time.perf_counter() - started
    await terminal.end(grace_seconds=5)
    return _FLOOD_BYTES / elapsed


async def _bare(read: Callable[[int], Awaitable[object]]) -> float:
    """The rate of the same flood on a terminal of its own that `read` drains."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    words = ["sh", "-c", f"read -r line; stty raw; {' '.join(_FLOOD)}"]
    with subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as flood:
        os.close(slave)
        started = time.perf_counter()
        os.write(master, b"\n")
        await read(master)
        elapsed = time.perf_counter() - started
        flood.wait()
    os.close(master)
    return _FLOOD_BYTES / elapsed


async def _read_by_loop(master: int) -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        try:
            data = os.read(master, _READ_BYTES)
        except OSError:  # the end of a terminal
            data = b""
        if not data:
            loop.remove_reader(master)
            ended.set_result(None)

    loop.add_reader(master, readable)
    await ended


async def _read_by_cat(master: int) -> None:
    os.set_blocking(master, True)
    cat = await asyncio.create_subprocess_exec(
        shutil.which("cat") or "cat",
        stdin=master,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # it calls the end of a terminal an error
    )
    await cat.wait()


async def _delays(environment: Mapping[str, str], *, pairs: int) -> Pairs:
    terminal = await Terminal.spawn(
        _ENDLESS, environment=environment, directory=Path("/"), size=_SIZE
    )
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)

    async def event(after: int) -> float:
        terminal.signal(after)
        await asyncio.sleep(_SETTLE_SECONDS)
        started = time.perf_counter()
        here.send(b"x")
        await asyncio.get_running_loop().sock_recv(there, 1)
        return time.perf_counter() - started

    with here, there:
        delays = await interleaved(
            lambda: event(signal.SIGCONT), lambda: event(signal.SIGSTOP), pairs=pairs, warm_up=5
        )
    terminal.signal(signal.SIGCONT)
    await terminal.end(grace_seconds=5)
    return delays


BENCHMARK = Benchmark(
    name="drain",
    about="a flood of terminal output: its rate, and what it costs another session",
    run=run,
)
