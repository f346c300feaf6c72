"""The processes that make up the node, as the supervisor starts, stops and reaps them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.debian import SEARCH_PATH

_STOPPING_SECONDS = 60.0


class DaemonError(Exception):
    """A daemon is unknown, or did not do what was asked; the sentence says where its log is."""


@dataclass(frozen=True)
class Daemon:
    """How one process of the node is started."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)


class Daemons:
    """The running daemons; the only parent of theirs, and of whatever they leave orphaned."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._known: dict[str, Daemon] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: dict[str, int] = {}
        self._changed = asyncio.Condition()

    def start(self, daemon: Daemon) -> None:
        """Starts a daemon; its output goes to a log of its name."""
        if daemon.name in self._running:
            raise DaemonError(f"{daemon.name} runs already.")
        self._known[daemon.name] = daemon
        self._start(daemon)

    def _start(self, daemon: Daemon) -> None:
        with (self._logs / f"{daemon.name}.log").open("ab") as log:
            self._running[daemon.name] = subprocess.Popen(
                [str(part) for part in daemon.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Memory is there: to collect it seldom saves time of the processor.
                env={
                    "PATH": SEARCH_PATH,
                    "HOME": "/nonexistent",
                    "GOGC": "400",
                    **daemon.environment,
                },
                start_new_session=True,
            )

    def start_again(self, name: str) -> None:
        """Starts a daemon that was stopped, or died."""
        self.start(self._daemon(name))

    async def run(self, command: Daemon) -> None:
        """Runs what ends by itself; raises `DaemonError` unless it ends well."""
        self._start(command)
        async with self._changed:
            await self._changed.wait_for(lambda: not self.is_running(command.name))
        if self._ended[command.name] != 0:
            raise DaemonError(self.complaint(command.name))

    async def stop(self, name: str, *, signal_number: int = signal.SIGTERM) -> None:
        """Ends a daemon and waits until it is gone; does nothing when it has ended before."""
        self._daemon(name)
        if (process := self._running.get(name)) is None:
            return
        process.send_signal(signal_number)
        try:
            async with asyncio.timeout(_STOPPING_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._running.get(name) is not process)
        except TimeoutError:
            raise DaemonError(f"{name} did not end in {_STOPPING_SECONDS:.0f} s.") from None

    def first_ended(self) -> str | None:
        """The name of a daemon that was started and does not run any more."""
        return next((name for name in self._known if not self.is_running(name)), None)

    def is_running(self, name: str) -> bool:
        """Whether a daemon was started and has not ended."""
        return name in self._running

    async def reap(self) -> None:
        """Collects every child that has ended; call it after each SIGCHLD.

        Peeks first: a daemon's status belongs to its `Popen`, all others are orphans that this
        process got for being the first of its PID namespace.
        """
        while (ended := _peek()) is not None:
            owner = next((n for n, p in self._running.items() if p.pid == ended), None)
            if owner is None:
                os.waitpid(ended, 0)
                continue
            self._ended[owner] = self._running.pop(owner).wait()
            async with self._changed:
                self._changed.notify_all()

    def complaint(self, name: str) -> str:
        """A sentence with the end of a daemon's log, for whoever waits for it."""
        log = self._logs / f"{name}.log"
        end = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
        state = "runs" if self.is_running(name) else "has ended"
        return "\n".join((f"{name} {state}; {log} ends with:", *end))

    def _daemon(self, name: str) -> Daemon:
        if name not in self._known:
            raise DaemonError(f"There is no daemon {name}; there are {', '.join(self._known)}.")
        return self._known[name]


def _peek() -> int | None:
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if ended is None else ended.si_pid
