"""A line that is being typed: bytes of a terminal in, an edited text and its keys out, purely.

Our own rather than readline's, because lines of the session appear above the one that is typed, and
because a paste of several lines is one message.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from dataclasses import dataclass
from enum import Enum

HISTORY_LENGTH = 500
LONGEST_CHARACTERS = 1 << 20
PASTE_ON = "\x1b[?2004h"
PASTE_OFF = "\x1b[?2004l"
_PASTE_BEGINS, _PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[@-~]|[^\[O\x1b])")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")
_LONGEST_SEQUENCE = 32


class Key(Enum):
    """What a person wants beyond editing."""

    INTERRUPT = "interrupt"
    END = "end"
    REDRAW = "redraw"


@dataclass(frozen=True, slots=True)
class Entered:
    """A line that is finished."""

    text: str


class LineEditor:
    """The text before and after the cursor, the history, and half-read sequences."""

    def __init__(self) -> None:
        self._before = ""
        self._after = ""
        self._history: list[str] = []
        self._place = 0
        self._draft = ""
        self._killed = ""
        self._raw = ""
        self._pasting = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def text(self) -> str:
        """The whole line."""
        return self._before + self._after

    @property
    def before(self) -> str:
        """What stands before the cursor."""
        return self._before

    def clear(self) -> None:
        """Forgets the line."""
        self._before = self._after = ""

    def feed(self, data: bytes) -> list[Key | Entered]:
        """Takes what was typed; returns what it asks for, in order."""
        self._raw += self._decoder.decode(data)
        found: list[Key | Entered] = []
        while self._raw:
            taken = self._paste() if self._pasting else self._one(found)
            if not taken:
                break
            self._raw = self._raw[taken:]
        return found

    def _paste(self) -> int:
        end = self._raw.find(_PASTE_ENDS)
        if end >= 0:
            self._insert(self._raw[:end])
            self._pasting = False
            return end + len(_PASTE_ENDS)
        # The end mark may be cut in two by the read.
        kept = next(
            (n for n in range(len(_PASTE_ENDS) - 1, 0, -1) if self._raw.endswith(_PASTE_ENDS[:n])),
            0,
        )
        self._insert(self._raw[: len(self._raw) - kept])
        return len(self._raw) - kept

    def _one(self, found: list[Key | Entered]) -> int:
        character = self._raw[0]
        if character == "\x1b":
            match = _SEQUENCE.match(self._raw)
            if match:
                self._sequence(match[0])
                return match.end()
            unfinished = _UNFINISHED.fullmatch(self._raw)
            return 0 if unfinished and len(self._raw) < _LONGEST_SEQUENCE else 1
        if character in "\r\n":
            found.append(Entered(self._enter()))
        elif character == "\x03":
            found.append(Key.INTERRUPT)
        elif character == "\x0c":
            found.append(Key.REDRAW)
        elif character == "\x04" and not self.text:
            found.append(Key.END)
        elif character == "\t" or (character >= " " and character != "\x7f"):
            self._insert(character)
        else:
            self._control(character)
        return 1

    def _enter(self) -> str:
        text = self.text
        self.clear()
        if text.strip() and self._history[-1:] != [text]:
            self._history = [*self._history, text][-HISTORY_LENGTH:]
        self._place = len(self._history)
        return text

    def _insert(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        room = LONGEST_CHARACTERS - len(self._before) - len(self._after)
        self._before += text[: max(0, room)]

    def _sequence(self, sequence: str) -> None:
        match sequence:
            case "\x1b[200~":
                self._pasting = True
            case "\x1b[D" | "\x1bOD":
                self._move(-1)
            case "\x1b[C" | "\x1bOC":
                self._move(1)
            case "\x1b[A" | "\x1bOA":
                self._recall(-1)
            case "\x1b[B" | "\x1bOB":
                self._recall(1)
            case "\x1b[H" | "\x1bOH" | "\x1b[1~" | "\x1b[7~":
                self._before, self._after = "", self.text
            case "\x1b[F" | "\x1bOF" | "\x1b[4~" | "\x1b[8~":
                self._before, self._after = self.text, ""
            case "\x1b[3~":
                self._after = self._after[1:]
            case "\x1bb" | "\x1b[1;5D" | "\x1b[1;3D":
                self._move(-len(_last_word(self._before)))
            case "\x1bf" | "\x1b[1;5C" | "\x1b[1;3C":
                self._move(len(_first_word(self._after)))
            case "\x1b\r" | "\x1b\n":
                self._insert("\n")
            case "\x1b\x7f":
                self._kill_before(len(_last_word(self._before)))

    def _control(self, character: str) -> None:
        match character:
            case "\x7f" | "\x08":
                self._before = self._before[:-1]
            case "\x04":
                self._after = self._after[1:]
            case "\x01":
                self._before, self._after = "", self.text
            case "\x05":
                self._before, self._after = self.text, ""
            case "\x02":
                self._move(-1)
            case "\x06":
                self._move(1)
            case "\x10":
                self._recall(-1)
            case "\x0e":
                self._recall(1)
            case "\x17":
                self._kill_before(len(_last_word(self._before)))
            case "\x15":
                self._kill_before(len(self._before))
            case "\x0b":
                self._killed, self._after = self._after, ""
            case "\x19":
                self._insert(self._killed)

    def _kill_before(self, count: int) -> None:
        cut = len(self._before) - count
        self._killed, self._before = self._before[cut:], self._before[:cut]

    def _move(self, count: int) -> None:
        place = min(max(0, len(self._before) + count), len(self.text))
        self._before, self._after = self.text[:place], self.text[place:]

    def _recall(self, step: int) -> None:
        place = self._place + step
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        entry = self._draft if place == len(self._history) else self._history[place]
        self._before, self._after = entry, ""


def _last_word(text: str) -> str:
    found = re.search(r"\S*\s*$", text)
    return found[0] if found else ""


def _first_word(text: str) -> str:
    found = re.match(r"\s*\S*", text)
    return found[0] if found else ""


def shown(text: str) -> str:
    """A text as it is echoed: on one line, nothing in it that a terminal obeys."""
    visible = text.replace("\n", "⏎").replace("\t", "    ")
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} else c
        for c in visible
    )


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


__all__ = ["PASTE_OFF", "PASTE_ON", "Entered", "Key", "LineEditor", "shown", "width"]
