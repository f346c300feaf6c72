"""Lines for a terminal: what one says, what it is, and nothing in it that a terminal obeys."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Tone(Enum):
    """What a line is, for its colour."""

    TEXT = "text"
    FAINT = "faint"
    TOOL = "tool"
    PERSON = "person"
    ASK = "ask"
    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Line:
    """One line for the terminal."""

    text: str
    tone: Tone = Tone.TEXT


def printable(text: str) -> str:
    """The text without anything that a terminal would obey; tabs and line ends stay."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def one_line(text: str, *, longest: int = 160) -> str:
    """The text on one line, cut where it is long."""
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"
