"""What durability costs at its cheapest: the baseline of everything that is on disk in time."""

from __future__ import annotations

import os
from pathlib import Path

_BARE_PAGES = 1000
_PAGE_BYTES = 4096


class BareFile:
    """A file of which pages are written over old ones, with a sync each."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._page = 0
        # Blocks that exist already: a file that grows would pay for its size, too.
        os.write(self._descriptor, bytes(_BARE_PAGES * _PAGE_BYTES))
        os.fsync(self._descriptor)

    async def write(self, count: int = 1) -> None:
        """Writes pages, each synced before the next; nothing else runs meanwhile."""
        for _ in range(count):
            os.pwrite(self._descriptor, b"x" * _PAGE_BYTES, self._page * _PAGE_BYTES)
            os.fdatasync(self._descriptor)
            self._page = (self._page + 1) % _BARE_PAGES

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)
