"""The kernel's news of one directory: which names in it were closed after writing, or moved in."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

_IN_CLOSE_WRITE = 0x8
_IN_MOVED_TO = 0x80
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ONLYDIR = 0x1000000
_HEADER = struct.Struct("iIII")
_READ_BYTES = 1 << 16


@dataclass(frozen=True)
class News:
    """What one read of the watch told."""

    names: tuple[str, ...] = ()
    overflowed: bool = False
    """True when more happened than the kernel could keep: look at the whole directory."""
    gone: bool = False
    """True when the directory itself was removed or moved away."""


class Watch:
    """A watch on an open directory, which stays on it wherever it moves; raises OSError."""

    def __init__(self, directory: int) -> None:
        libc = _libc()
        self.descriptor = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        mask = _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR
        path = f"/proc/self/fd/{directory}".encode()
        try:
            _checked(libc.inotify_add_watch(self.descriptor, path, mask))
        except OSError:
            self.close()
            raise

    def read(self) -> News:
        """What happened since the last read; never waits."""
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return News()
        events = list(_parse(data))
        masks = 0
        for mask, _ in events:
            masks |= mask
        return News(
            names=tuple(name for _, name in events if name),
            overflowed=bool(masks & _IN_Q_OVERFLOW),
            gone=bool(masks & (_IN_DELETE_SELF | _IN_MOVE_SELF | _IN_IGNORED)),
        )

    def close(self) -> None:
        """Ends the watch."""
        os.close(self.descriptor)


def _parse(data: bytes) -> Iterator[tuple[int, str]]:
    offset = 0
    while offset < len(data):
        _, mask, _, length = _HEADER.unpack_from(data, offset)
        offset += _HEADER.size
        yield mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "inotify_init1"):
        raise OSError("this system has no inotify")
    return libc


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
