"""Disk space set aside, so that what must be written can be written on a full disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class Reserve:
    """A file of real blocks: spent when the disk is full, taken again when there is room."""

    def __init__(self, path: Path, *, size_bytes: int) -> None:
        self._path = path
        self._size_bytes = size_bytes
        self.is_spent = not self._allocated()

    def spend(self) -> bool:
        """Gives the space back to the file system; False when it was spent before."""
        if self.is_spent:
            return False
        self.is_spent = True
        with suppress(OSError):
            self._path.unlink()
        return True

    def restore(self) -> bool:
        """Takes the space again where as much is left beside it; True when it is held."""
        if self.is_spent and self._room() >= 2 * self._size_bytes:
            self.is_spent = not self._allocate()
        return not self.is_spent

    def _allocated(self) -> bool:
        try:
            # Sparse files hold nothing: only blocks count.
            return os.stat(self._path).st_blocks * 512 >= self._size_bytes
        except FileNotFoundError:
            return False

    def _room(self) -> int:
        try:
            volume = os.statvfs(self._path.parent)
        except OSError:
            return 0
        return volume.f_bavail * volume.f_frsize

    def _allocate(self) -> bool:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            with suppress(OSError):
                self._path.unlink()
            return False
        return True
