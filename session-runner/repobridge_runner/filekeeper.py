"""Keeps this process's files open until its children are dead, even when it is killed.

A process that is killed closes its files first, which takes tens of milliseconds, and only then
does the kernel kill its children. In that time an agent sees its hook break and goes on without
us: it asks its provider for a turn that no journal knows of. So a child that does nothing shares
our table of files, and is killed in the same moment as the agents: the files close with it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal

from repobridge.telemetry import Logger

_CLONE_FILES = 0x400
_CLONE = {"x86_64": 56, "aarch64": 220}
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_log = Logger("repobridge.runner")


def keep_files_open() -> int:
    """Starts the keeper and returns its pid, or 0 where there is none.

    Call it in the thread that starts the agents, before there are others: it forks.
    """
    number = _CLONE.get(platform.machine())
    if number is None:
        _log.debug("no file keeper on this machine", machine=platform.machine())
        return 0
    libc = ctypes.PyDLL(None, use_errno=True)  # keeps the GIL, which the child's only thread needs
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    parent = os.getpid()
    try:
        pid: int = libc.syscall(number, _CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            _keep(libc, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if pid < 0:
        _log.debug("no file keeper", error=os.strerror(ctypes.get_errno()))
    return max(0, pid)


def _keep(libc: ctypes.PyDLL, parent: int) -> None:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NAME, b"runner-files", 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # it ended before the kernel knew that we end with it
    while True:
        libc.pause()
