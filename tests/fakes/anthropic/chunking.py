"""Cuts a byte stream where readers are most likely to break; the bytes themselves never change."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TypeAlias

_CONTINUATION = range(0x80, 0xC0)
_FIELD = re.compile(rb"(?<=\n)(?:da|ev)(?=ta:|ent:)|(?<=\ndata)(?=:)|(?<=data: \{)")


class Chunker(Protocol):
    """Splits one stream; what it holds back comes out with later bytes or with `flush`."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces that may be written now."""

    def flush(self) -> bytes:
        """Whatever was held back: called before each wait and at the end."""


NewChunker: TypeAlias = Callable[[], Chunker]


class Whole:
    """Writes each event as one piece, as the real API mostly does."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def flush(self) -> bytes:
        return b""


class Cutting:
    """Cuts at the places that a function finds, and holds the tail back for the next event."""

    def __init__(self, places: Callable[[bytes], Iterator[int]]) -> None:
        self._places = places
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        data = self._held + data
        start = 0
        for place in self._places(data):
            if start < place < len(data):
                yield data[start:place]
                start = place
        self._held = data[start:]

    def flush(self) -> bytes:
        held, self._held = self._held, b""
        return held


def inside_characters(data: bytes) -> Iterator[int]:
    """Places after the first byte of each character of several bytes, and between its others."""
    return (i for i, byte in enumerate(data) if byte in _CONTINUATION)


def inside_fields(data: bytes) -> Iterator[int]:
    """Places inside `data:` and `event:` and just after the JSON began."""
    return (match.end() for match in _FIELD.finditer(data))


def between_newlines(data: bytes) -> Iterator[int]:
    """Places between the two line ends that end an event."""
    return (match.start() + 1 for match in re.finditer(rb"\n\n", data))


def every_byte(data: bytes) -> Iterator[int]:
    """Every place there is."""
    return iter(range(1, len(data)))


def random_places(seed: int, *, longest: int) -> Callable[[bytes], Iterator[int]]:
    """Places at random distances, the same for the same seed."""
    rng = random.Random(seed)

    def places(data: bytes) -> Iterator[int]:
        place = rng.randint(1, longest)
        while place < len(data):
            yield place
            place += rng.randint(1, longest)

    return places


def every(size: int) -> Callable[[bytes], Iterator[int]]:
    """Places at one distance, whatever the events: many events in a piece when it is large."""
    return lambda data: iter(range(size, len(data), size))


HOSTILE: Mapping[str, NewChunker] = {
    "one_byte": lambda: Cutting(every_byte),
    "inside_characters": lambda: Cutting(inside_characters),
    "inside_fields": lambda: Cutting(inside_fields),
    "between_newlines": lambda: Cutting(between_newlines),
    "random": lambda: Cutting(random_places(20, longest=40)),
    "seven_bytes": lambda: Cutting(every(7)),
    "many_events_at_once": lambda: Cutting(every(4096)),
}
