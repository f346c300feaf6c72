"""Files out: what a session closes in its outbox, each once, for people to get.

The directory is the agent's to write, so nothing in it is trusted: it is held open and read
through that descriptor, links and anything but regular files are passed by, and a directory that
was swapped for another thing is made anew. What was handed out is noted in a ledger, so that a
restart finds what happened meanwhile and repeats nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from repobridge_runner.inotify import News, Watch
from repobridge_runner.wholefile import write_whole

MOST_FILES = 4096
"""An outbox with more files at once shows no further ones until some are removed."""
_POLL_SECONDS = 2.0
_SETTLED_SECONDS = 2.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_BEING_WRITTEN = re.compile(r"\.tmp\.[0-9]+\.[0-9a-f]+$")
"""What the agent's own tool writes and closes before it gives a file its name."""

_Identity = tuple[int, int, int, int]


async def watch_outbox(
    directory: Path,
    *,
    ledger: Path | None = None,
    poll_seconds: float = _POLL_SECONDS,
    make_watch: Callable[[int], Watch] = Watch,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[tuple[str, Path]]:
    """Yields (name, path) of each file as it is closed; a file that changes comes again.

    Open the path without following links; it is valid until the next is asked for, which also
    notes this one as taken. Without a ledger (a path that the agent can't write) a restart yields
    everything again. Every `poll_seconds` it makes sure that the directory is still the one, and
    where the kernel gives no news of it, looks at what is in it.
    """
    outbox = _Outbox(directory, ledger, make_watch=make_watch, clock=clock)
    try:
        while True:
            for name, identity in outbox.found():
                yield name, outbox.path(name)
                outbox.take(name, identity)
            await outbox.wait(poll_seconds)
    finally:
        outbox.close()


class _Outbox:
    def __init__(
        self,
        directory: Path,
        ledger: Path | None,
        *,
        make_watch: Callable[[int], Watch],
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._make_watch = make_watch
        self._clock = clock
        self._taken = _read_ledger(ledger)
        self._names: dict[str, None] = {}
        self._scan_due = True
        self._unsettled = False
        self._gone = False
        self._news = asyncio.Event()
        self._watch: Watch | None = None
        self._folder = -1
        self._open()

    def path(self, name: str) -> Path:
        """A way to the file that leads through the directory as it was opened."""
        through = Path(f"/proc/self/fd/{self._folder}")
        return (through if through.exists() else self._directory) / name

    def found(self) -> Iterator[tuple[str, _Identity]]:
        """The closed files that are not taken yet."""
        if self._gone and not self._is_in_place():
            self._open()
        self._gone = False
        if self._folder < 0:
            return
        if self._scan_due:
            self._scan_due = self._unsettled = False
            self._forget_removed()
            for name in os.listdir(self._folder):
                if found := self._look(name, closed=False):
                    yield name, found
        while self._names:
            name = next(iter(self._names))
            del self._names[name]
            if found := self._look(name, closed=True):
                yield name, found

    def take(self, name: str, identity: _Identity) -> None:
        """Notes a file as taken, as it was when it was found."""
        self._taken[name] = identity
        _write_ledger(self._ledger, self._taken)

    async def wait(self, poll_seconds: float) -> None:
        """Waits until there may be something to find."""
        if self._folder >= 0 and (self._names or self._scan_due or self._gone):
            return
        self._news.clear()
        try:
            async with asyncio.timeout(poll_seconds):
                await self._news.wait()
        except TimeoutError:
            # Without news, and while a scan saw a file that may still be written: look again.
            self._scan_due |= self._watch is None or self._unsettled
            # No news tells of a removed directory that is still held open.
            self._gone |= not self._is_in_place()

    def close(self) -> None:
        """Ends the watch."""
        if self._watch is not None:
            asyncio.get_running_loop().remove_reader(self._watch.descriptor)
            self._watch.close()
            self._watch = None
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _open(self) -> None:
        self.close()
        self._gone = False
        self._scan_due = True
        try:
            self._folder = _open_folder(self._directory)
            self._watch = self._make_watch(self._folder)
        except OSError:
            return  # looked at, and tried again, at every poll
        asyncio.get_running_loop().add_reader(self._watch.descriptor, self._read_news)

    def _read_news(self) -> None:
        assert self._watch is not None
        news: News = self._watch.read()
        self._names.update(dict.fromkeys(news.names))
        if news.overflowed or len(self._names) > MOST_FILES:
            self._names.clear()
            self._scan_due = True
        # Opened again only between two files: the last one's path leads through the descriptor.
        self._gone = self._gone or news.gone
        self._news.set()

    def _is_in_place(self) -> bool:
        if self._folder < 0:
            return False
        try:
            status = os.stat(self._directory, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(status, os.fstat(self._folder))

    def _look(self, name: str, *, closed: bool) -> _Identity | None:
        """The file's identity if it is to be handed out now."""
        if name.startswith(".") or _BEING_WRITTEN.search(name):
            return None
        try:
            status = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return None
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if not stat.S_ISREG(status.st_mode) or self._taken.get(name) == identity:
            return None
        if name not in self._taken and len(self._taken) >= MOST_FILES:
            self._forget_removed()
            if len(self._taken) >= MOST_FILES:
                return None
        if not closed and self._clock() - status.st_mtime < _SETTLED_SECONDS:
            # A scan can't see whether it is closed; the news will, or the next scan.
            self._unsettled = True
            return None
        return identity

    def _forget_removed(self) -> None:
        there = set(os.listdir(self._folder))
        self._taken = {name: each for name, each in self._taken.items() if name in there}


def _open_folder(directory: Path) -> int:
    if directory.is_symlink() or directory.is_file():
        # In its place that is the agent's doing, and not ours to follow.
        directory.unlink()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(directory, _FOLDER)


def _read_ledger(ledger: Path | None) -> dict[str, _Identity]:
    if ledger is None:
        return {}
    try:
        raw = json.loads(ledger.read_text(encoding="utf-8"))
        return {name: (int(a), int(b), int(c), int(d)) for name, (a, b, c, d) in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_ledger(ledger: Path | None, taken: dict[str, _Identity]) -> None:
    if ledger is None:
        return
    ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(OSError):
        # On a full disk a restart repeats a file: better than to lose one.
        write_whole(ledger, json.dumps(taken))
