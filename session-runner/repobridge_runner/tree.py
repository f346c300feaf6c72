"""Everything that a child started: found by descent, by session, and by a mark in the environment.

Descent is lost when a parent dies, the session with `setsid`, the mark with `env -i`: a process
that does all three is out of reach until the runner itself ends.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from repobridge.process import Process, descendants, processes, read_process

TREE_VARIABLE = "REPOBRIDGE_TERMINAL"
"""The environment variable that marks what belongs to one terminal."""


@dataclass(frozen=True)
class Tree:
    """The processes that belong to a session leader; ask only while it is not reaped."""

    leader: int
    mark: str

    def living(self) -> list[Process]:
        """Lists the living processes besides the leader; reads all of /proc."""
        found = {process.pid: process for process in descendants(self.leader)}
        for process in processes():
            if process.session == self.leader or self._is_marked(process.pid):
                found[process.pid] = process
        found.pop(self.leader, None)
        return [process for process in found.values() if not process.is_zombie]

    def _is_marked(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return f"{TREE_VARIABLE}={self.mark}".encode() in file.read().split(b"\0")
        except OSError:
            return False


def kill_process(process: Process) -> None:
    """Kills exactly the process that was seen, if it still runs and is ours to kill."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        _kill_by_pid(process)
        return
    try:
        if _is_same(process):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        os.close(descriptor)


def _kill_by_pid(process: Process) -> None:
    try:
        if _is_same(process):
            os.kill(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _is_same(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.start_time == process.start_time
