"""Reaps orphans that the kernel gave to this process as their subreaper, and nobody else's child.

Coexists with whoever waits for children of his own: it never calls waitpid(-1), passes by what
was registered with `own`, and reaps a zombie only when two scans in a row saw it. Between the two
the event loop went round, so a child watcher on this loop (pidfd) has had its turn, and one with a
thread in waitpid took the child at its death.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from repobridge.process import Process, children

SCAN_SECONDS = 1.0

_owned: set[int] = set()


def own(pid: int) -> None:
    """Says that somebody else will reap this child."""
    _owned.add(pid)


def disown(pid: int) -> None:
    """Says that the child was reaped."""
    _owned.discard(pid)


class Reaper:
    """Looks for zombies at intervals; counts what it reaped."""

    def __init__(
        self,
        *,
        scan_seconds: float = SCAN_SECONDS,
        on_scan: Callable[[], None] = lambda: None,
    ) -> None:
        self._scan_seconds = scan_seconds
        self._on_scan = on_scan
        self._seen: set[tuple[int, int]] = set()
        self.reaped = 0
        """How many orphans were reaped so far."""

    async def run(self) -> None:
        """Scans until it is cancelled."""
        while True:
            self.scan()
            self._on_scan()
            await asyncio.sleep(self._scan_seconds)

    def scan(self) -> None:
        """Reaps the ownerless zombies that the last scan saw too."""
        zombies = [
            process
            for process in children(os.getpid())
            if process.is_zombie and process.pid not in _owned
        ]
        for process in zombies:
            if _identity(process) in self._seen:
                self._reap(process.pid)
        self._seen = {_identity(process) for process in zombies}

    def _reap(self, pid: int) -> None:
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None:
                self.reaped += 1
        except ChildProcessError:
            pass  # its owner was there first


def _identity(process: Process) -> tuple[int, int]:
    return process.pid, process.start_time
