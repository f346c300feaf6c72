"""Facts about processes from /proc, and what makes our own process private.

A process id alone names nothing for long; with its start time it does, so the two travel together.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from repobridge.errors import RepoBridgeError

PROC = Path("/proc")
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


class ProcessError(RepoBridgeError):
    """The kernel refused what this process asked for itself."""


@dataclass(frozen=True)
class Process:
    """One line of /proc/PID/stat, as far as it matters here."""

    pid: int
    start_time: int
    """In clock ticks since boot: with the pid, the identity of a process."""
    name: str
    state: str
    """One letter; "Z" is a zombie."""
    parent: int
    group: int
    session: int

    @property
    def is_zombie(self) -> bool:
        """True when the process has ended and waits to be reaped."""
        return self.state in {"Z", "X"}


def make_process_private() -> None:
    """Closes this process to others of its own user, and makes it the reaper of its orphans.

    Non-dumpable: nobody but root can read its memory, its environment or use its descriptors
    through /proc, and it leaves no core. Subreaper: what its descendants orphan becomes its own
    child, so that nothing that it starts can leave its tree. Both end at exec. Does nothing on
    systems other than Linux.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_CHILD_SUBREAPER, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise ProcessError(f"The kernel refused prctl {option}: {reason}.")


def read_process(pid: int) -> Process | None:
    """Returns what /proc tells about a process; None when there is none (any more)."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name is in brackets and may itself hold brackets and blanks.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return Process(
        pid=pid,
        start_time=int(fields[19]),
        name=head.partition("(")[2],
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
    )


def processes() -> Iterator[Process]:
    """Yields every process that /proc shows."""
    for name in os.listdir(PROC):
        if name.isdigit() and (process := read_process(int(name))) is not None:
            yield process


def children(pid: int) -> Iterator[Process]:
    """Yields the direct children of a process, zombies included."""
    try:
        lists = [path.read_text() for path in (PROC / str(pid) / "task").glob("*/children")]
    except OSError:
        lists = []
    if not lists:  # no such process, or a kernel built without these files
        yield from (process for process in processes() if process.parent == pid)
        return
    for child in " ".join(lists).split():
        if (process := read_process(int(child))) is not None:
            yield process


def descendants(pid: int) -> Iterator[Process]:
    """Yields the children of a process, their children, and so on."""
    for child in children(pid):
        yield child
        yield from descendants(child.pid)
