"""Recent terminal output, bounded, and cut only where a terminal can begin to read.

A picture that starts in the middle of a UTF-8 character or of an escape sequence paints rubbish
until the next full repaint. So of what is dropped at the front the unfinished end is remembered,
and whoever takes the output after a loss gets it from the next safe place on.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Self

# An ESC ends whatever sequence stood open before it; CAN and SUB do the same.
_SEQUENCE = re.compile(
    rb"""\x1b(?:
        \[ [\x00-\x17\x19\x1c-\x3f]* (?: [^\x00-\x17\x19\x1b-\x3f] | (?=\x1b) )  # CSI
      | \] [^\x07\x18\x1a\x1b]* (?: [\x07\x18\x1a] | \x1b\\ | (?=\x1b) )        # OSC
      | [PX^_] [^\x18\x1a\x1b]* (?: [\x18\x1a] | \x1b\\ | (?=\x1b) )            # DCS, SOS, PM, APC
      | [\x20-\x2f]+ (?: [^\x1b\x20-\x2f] | (?=\x1b) )                          # charset and such
      | [^\x1b\x20-\x2f\[\]PX^_]
      | (?=\x1b)
    )""",
    re.VERBOSE | re.DOTALL,
)
_CONTINUATION = re.compile(rb"[\x80-\xbf]{0,3}")


@dataclass(frozen=True)
class Dropped:
    """In place of output that a slow viewer lost."""

    bytes: int


def unfinished_end(data: bytes) -> bytes:
    """Returns the start of the escape sequence or character that `data` ends within, or b""."""
    escape = data.rfind(b"\x1b")
    if escape >= 0 and _SEQUENCE.match(data, escape) is None:
        return data[escape : escape + 2]  # its kind says how it ends
    for length in (1, 2, 3):
        lead = data[-length] if len(data) >= length else 0
        if lead >= 0xC0:
            expected = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return data[-length:] if expected > length else b""
        if lead < 0x80:
            break
    return b""


def safe_start(before: bytes, data: bytes) -> int:
    """Returns where in `data`, which follows the unfinished `before`, a terminal can begin."""
    start = 0
    if before.startswith(b"\x1b"):
        match = _SEQUENCE.match(before + data)
        if match is None:
            return len(data)
        start = match.end() - len(before)
    skipped = _CONTINUATION.match(data, max(0, start))
    return skipped.end() if skipped else start


class Ring:
    """The newest `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._before = b""
        self._lost = 0

    def append(self, data: bytes) -> None:
        """Adds to the end, and drops what is too much from the front."""
        self._data += data
        excess = len(self._data) - self._limit
        if excess > 0:
            self._before = unfinished_end(self._before + bytes(self._data[:excess]))
            self._lost += excess
            del self._data[:excess]

    def content(self) -> bytes:
        """Returns what is held, from the first safe place on."""
        data = bytes(self._data)
        return data[safe_start(self._before, data) :] if self._lost else data

    def take(self) -> tuple[int, bytes]:
        """Empties the ring; returns how many bytes were lost since the last take, and the rest."""
        data = bytes(self._data)
        start = safe_start(self._before, data) if self._lost else 0
        lost = self._lost + start
        self._before = unfinished_end(self._before + data)
        self._data.clear()
        self._lost = 0
        return lost, data[start:]

    def __len__(self) -> int:
        return len(self._data)


class Viewer(AsyncIterator["bytes | Dropped"]):
    """One follower of a terminal's output: first the recent past (maybe empty), then what comes.

    A follower that is too slow loses its oldest bytes and next gets `Dropped`, after which the
    output goes on at a place where a terminal can begin to read; it may have been left within an
    escape sequence. The iteration ends when the terminal does. For one consumer.
    """

    def __init__(
        self, *, first: bytes, buffer_bytes: int, on_close: Callable[[Viewer], None]
    ) -> None:
        self._first: bytes | None = first
        self._pending = Ring(buffer_bytes)
        self._on_close = on_close
        self._changed = asyncio.Event()
        self._ended = False
        self._lost = 0
        self._next = b""

    def feed(self, data: bytes) -> None:
        """Takes new output; never waits."""
        self._pending.append(data)
        self._changed.set()

    def end(self) -> None:
        """Says that no more output comes."""
        self._ended = True
        self._changed.set()

    def close(self) -> None:
        """Stops following; an iteration that waits ends."""
        self._on_close(self)
        self.end()

    async def __anext__(self) -> bytes | Dropped:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._next:
            data, self._next = self._next, b""
            return data
        while not len(self._pending):
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        lost, data = self._pending.take()
        if lost:
            self._next = data
            return Dropped(lost)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
