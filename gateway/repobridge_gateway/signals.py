"""What signals ask of `serve`: to end, to end at once, or to read its configuration again.

A terminal that goes away sends SIGHUP too; by then the kernel has taken it from its processes,
which is how it is told from a person's wish.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from repobridge.telemetry import Logger

_KILLED_SECONDS = 3.0
"""How long we wait, after a second signal, for what was killed to be gone."""
_log = Logger(__name__)


@asynccontextmanager
async def signals(
    *, on_first: Callable[[], None], on_second: Callable[[], None], on_reload: Callable[[], None]
) -> AsyncIterator[None]:
    """The first signal asks to end, the second ends at once; SIGHUP has settings read again.

    Where the terminal is gone SIGHUP asks to end, unless it was ignored when we started, as nohup
    has it.
    """
    loop = asyncio.get_running_loop()
    seen = 0
    outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    had_terminal = _has_terminal()

    def receive(number: signal.Signals) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            _log.info("signal received", signal=number.name)
            on_first()
            return
        on_second()
        loop.call_later(_KILLED_SECONDS, os._exit, 1)

    def hang_up() -> None:
        nonlocal had_terminal
        is_gone = had_terminal and not _has_terminal()
        if not is_gone:
            on_reload()
        elif outlives_terminal:
            had_terminal = False
        else:
            receive(signal.SIGHUP)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, receive, number)
    loop.add_signal_handler(signal.SIGHUP, hang_up)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
