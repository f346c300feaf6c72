"""Which lines of a Markdown text are code: fences of both kinds, in lists and in quotes.

Reads as Discord does rather than as CommonMark where the two differ: less indentation does not end
a fence, the end of its quote does. What is too odd to be repeated in the next message (a quote in a
quote in a quote, an information string of a sentence) is taken for text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

MOST_PREFIX = 20
MOST_MARKER = 10
MOST_INFO = 40
_QUOTES = r"(?:[ \t]{0,8}>){0,4}"
_OPEN = re.compile(
    rf"(?P<quotes>>>> |{_QUOTES})(?P<rest>[ \t]*(?:(?:[-*+]|\d{{1,4}}[.)])[ \t]+)?)"
    r"(?P<marker>`{3,10}|~{3,10})(?P<info>.*)"
)
_CLOSE = re.compile(rf"(?P<quotes>{_QUOTES})[ \t]*(?P<marker>`{{3,10}}|~{{3,10}})\s*")
_QUOTED = re.compile(_QUOTES)


class Kind(Enum):
    """What a line is to code."""

    TEXT = 1
    OPEN = 2
    CODE = 3
    CLOSE = 4


@dataclass(frozen=True, slots=True)
class Fence:
    """How a block of code was opened, as far as it has to be said again."""

    quotes: str
    indent: str
    marker: str
    info: str

    @property
    def opening(self) -> str:
        """The line that opens it again."""
        return f"{self.quotes}{self.indent}{self.marker}{self.info}"

    @property
    def closing(self) -> str:
        """The line that closes it."""
        return f"{self.quotes}{self.indent}{self.marker}"

    def is_closed_by(self, line: str) -> bool:
        """True where a line is its end."""
        found = _CLOSE.fullmatch(line) if self.marker[0] * 3 in line else None
        return (
            found is not None
            and found["marker"][0] == self.marker[0]
            and len(found["marker"]) >= len(self.marker)
            and found.end("quotes") <= MOST_PREFIX
        )

    def is_left_by(self, line: str) -> bool:
        """True where a line stands outside the quote that the fence is in."""
        if not self.quotes:
            return False
        quoted = _QUOTED.match(line)
        return quoted is not None and quoted[0].count(">") < self.quotes.count(">")


class Line(NamedTuple):
    """A line, what it is, and the fence that it opens, closes or is in."""

    text: str
    kind: Kind
    fence: Fence | None = None

    @property
    def leaves_open(self) -> bool:
        """True where a block of code is open at its end."""
        return self.kind in {Kind.OPEN, Kind.CODE}


def scan(text: str) -> Sequence[Line]:
    """The lines of a text."""
    lines: list[Line] = []
    fence: Fence | None = None
    for line in text.split("\n"):
        if fence is not None and fence.is_left_by(line):
            fence = None
        if fence is None:
            fence = opened_by(line)
            lines.append(Line(line, Kind.OPEN if fence else Kind.TEXT, fence))
        elif fence.is_closed_by(line):
            lines.append(Line(line, Kind.CLOSE, fence))
            fence = None
        else:
            lines.append(Line(line, Kind.CODE, fence))
    return lines


def opened_by(line: str) -> Fence | None:
    """The fence that a line of text opens."""
    # Most lines have no marker at all, and a text that grows is read once a second.
    found = _OPEN.match(line) if "```" in line or "~~~" in line else None
    if found is None:
        return None
    marker, info = found["marker"], found["info"].rstrip()
    if marker[0] in info or "`" in info or len(info) > MOST_INFO:
        return None
    if found.start("marker") > MOST_PREFIX:
        return None
    # `>>> ` holds to the end of a message, and is not repeated line by line.
    quotes = "" if found["quotes"] == ">>> " else found["quotes"]
    # A list's own mark is not repeated: what follows belongs to the same item.
    return Fence(quotes, re.sub(r"[^\t]", " ", found["rest"]), marker, info)
