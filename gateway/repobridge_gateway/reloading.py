"""Settings that are read again while they are in force: a good file whole, of a broken one nothing.

What can't change while the process runs stays as it was at the start, and is named until somebody
starts it anew.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from repobridge.errors import RepoBridgeError
from repobridge.telemetry import Logger
from repobridge_gateway.metrics import GatewayMetrics
from repobridge_gateway.watched import Watched

LOOK_SECONDS = 2.0
_log = Logger(__name__)


class Settings(Protocol):
    """All settings of a process, as one value that never changes."""

    def differences(self, other: Self) -> tuple[str, ...]:
        """The settings that are not the same, by their names."""

    def over(self, started: Self) -> Self:
        """These where they can change live, and those of the start elsewhere."""


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """What came of reading the settings again."""

    changed: tuple[str, ...] = ()
    """What is in force from now on and was not before."""
    waiting: tuple[str, ...] = ()
    """What the file says otherwise than at the start, and only a restart can apply."""
    problem: str = ""
    """Why the file can't be used; everything is as it was."""


class Reloading(Generic[S]):
    """Keeps the last good settings in force."""

    def __init__(
        self,
        started: S,
        read: Callable[[], S],
        *,
        path: Path | None,
        put: Callable[[S], None],
        metrics: GatewayMetrics,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """`read` is called in a thread and raises RepoBridgeError for what is wrong; `put` brings
        settings into force, all at once. Without a `path` nothing is looked at by itself.
        """
        self.settings = Watched(started)
        """What is in force."""
        self._started = started
        self._read = read
        self._path = path
        self._put = put
        self.metrics = metrics
        """What it counts in."""
        self._look_seconds = look_seconds
        self._lock = asyncio.Lock()
        self._asked = asyncio.Event()
        # The file may have changed since the start: the first looks find out.
        self._seen = b""
        self._waiting: tuple[str, ...] = ()
        metrics.reloaded(is_good=True, waiting=0)

    def ask(self) -> None:
        """Has the settings read again soon; for a handler of signals."""
        self._asked.set()

    async def run(self) -> None:
        """Reads whenever the file has changed, or somebody asks, until it is cancelled."""
        before = b""
        while True:
            is_asked = await self._is_asked()
            now = await asyncio.to_thread(_fingerprint, self._path)
            # Who writes a file in place may be half through: what is there has to last for a while,
            # as half a file may well be a good one that grants too much.
            if is_asked or (now != self._seen and now == before):
                await self.reload()
            before = now

    async def reload(self) -> Reload:
        """Reads the settings now."""
        async with self._lock:
            # Taken before the reading: what is written meanwhile is seen as a further change.
            self._seen = await asyncio.to_thread(_fingerprint, self._path)
            try:
                found = await asyncio.to_thread(self._read)
                return self._take(found)
            except RepoBridgeError as error:
                return self._refuse(str(error))
            except Exception as error:
                _log.error("settings not understood", cause=error)
                return self._refuse("The settings can't be read; the log says why.")

    async def _is_asked(self) -> bool:
        try:
            async with asyncio.timeout(self._look_seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _take(self, found: S) -> Reload:
        wanted = found.over(self._started)
        changed = wanted.differences(self.settings.value)
        waiting = found.differences(wanted)
        if changed:
            self._put(wanted)
            self.settings.set(wanted)
            _log.info("settings changed", changed=", ".join(changed))
        if waiting and waiting != self._waiting:
            _log.warning("settings wait for a restart", waiting=", ".join(waiting))
        self._waiting = waiting
        self.metrics.reloaded(is_good=True, waiting=len(waiting))
        return Reload(changed=changed, waiting=waiting)

    def _refuse(self, problem: str) -> Reload:
        file = str(self._path or "")
        _log.error("settings refused, the last good ones stay", file=file, error=problem)
        self.metrics.reloaded(is_good=False, waiting=len(self._waiting))
        return Reload(waiting=self._waiting, problem=problem)


def _fingerprint(path: Path | None) -> bytes:
    """What tells one content of a file from another, and from a file that can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).digest() if path is not None else b""
    except OSError as error:
        return f"not read: {error.errno}".encode()
