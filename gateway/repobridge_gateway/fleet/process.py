"""A runner's process: its start, its log lines, its end, and what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from repobridge.process import Process, children, descendants, read_process
from repobridge.telemetry import Logger

_LONGEST_LINE = 1 << 16
_LEVELS = logging.getLevelNamesMapping()
_ENVELOPE = frozenset({"time", "level", "msg"})
_KILL_ROUNDS = 50


class RunnerProcess:
    """One running runner; make it with `start_runner`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Logger) -> None:
        self._process = process
        self._log = log
        self.last_line = ""
        """The last thing that it said at level warning or above, or outside its log."""
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Waits for its end; returns the exit code, or minus the signal's number."""
        code = await self._process.wait()
        # Its children may still hold stderr open: what it said itself is there by now.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), 0.5)
        return code

    def close(self) -> None:
        """Stops reading its log."""
        self._reading.cancel()

    async def end(self, *, grace_seconds: float) -> int:
        """SIGTERM, and SIGKILL when the grace is over."""
        self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.wait(), grace_seconds)
        except TimeoutError:
            self._log.warning("runner outlived its grace and is killed", pid=self.pid)
            self.kill()
            return await self.wait()

    def kill(self) -> None:
        """SIGKILL, at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # longer than the limit; the reader dropped it
                continue
            if not line:
                return
            self._forward(line.decode(errors="replace").rstrip("\n"))

    def _forward(self, line: str) -> None:
        try:
            entry = json.loads(line)
            level, message = _LEVELS[entry["level"]], str(entry["msg"])
        except (ValueError, KeyError, TypeError):
            self.last_line = line.strip() or self.last_line
            self._log.warning("runner output", line=line)
            return
        if level >= logging.WARNING:
            self.last_line = f"{message}: {entry['error']}" if entry.get("error") else message
        fields = {key: value for key, value in entry.items() if key not in _ENVELOPE}
        self._log.log(level, message, **fields)


async def start_runner(
    command: Sequence[str], *, environment: Mapping[str, str], log: Logger
) -> RunnerProcess:
    """Starts a runner in a session of its own, so that a Ctrl-C for us does not reach it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
        limit=_LONGEST_LINE,
    )
    return RunnerProcess(process, log)


def end_stale(pid_file: Path, *, grace_seconds: float) -> bool:
    """Ends the runner that a `serve` which was killed left behind; True if there was one.

    Blocks for the grace at most: call it in a thread.
    """
    try:
        pid, start_time = map(int, pid_file.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return False
    found = read_process(pid)
    if found is None or found.is_zombie or found.start_time != start_time:
        return False
    tree = [found, *descendants(pid)]
    _kill(found, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while _lives(found) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in tree:
        _kill(process, signal.SIGKILL)
    while any(map(_lives, tree)):
        time.sleep(0.02)
    return True


def identity(pid: int) -> str:
    """The text for the pid file: the pid and its start time, which together name a process."""
    found = read_process(pid)
    return f"{pid} {found.start_time if found else 0}\n"


async def end_orphans(known: frozenset[int]) -> int:
    """Ends what dead runners left to us, their reaper; returns how many processes that were."""
    ended = 0
    for _ in range(_KILL_ROUNDS):
        orphans = [child for child in children(os.getpid()) if child.pid not in known]
        if not orphans:
            break
        for orphan in orphans:
            for process in (*descendants(orphan.pid), orphan):
                _kill(process, signal.SIGKILL)
            ended += _reap(orphan.pid)
        await asyncio.sleep(0.02)
    return ended


def _lives(process: Process) -> bool:
    found = read_process(process.pid)
    return found is not None and found.start_time == process.start_time and not found.is_zombie


def _reap(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return False


def _kill(process: Process, number: signal.Signals) -> None:
    if _lives(process):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, number)
