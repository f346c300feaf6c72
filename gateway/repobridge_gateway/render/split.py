"""A long Markdown text as several messages, each whole by itself.

A cut is looked for at paragraphs first, then at list items, lines, sentences, words and grapheme
clusters. A block of code that is cut is closed, and opened again in the next message; so are quotes
and the indentation of list items. Nothing else is added, and only white space at a cut is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from repobridge_gateway.render.fences import MOST_MARKER, MOST_PREFIX, Kind, Line, scan
from repobridge_gateway.render.measure import (
    cluster_start,
    index_within,
    is_blank,
    units,
    well_formed,
)

MESSAGE_UNITS = 2000
"""What Discord takes."""
SHORTEST_LIMIT = 240
_CLOSING_UNITS = MOST_PREFIX + MOST_MARKER + 1
_LEAST_OF_A_LINE = 100
"""A line is not cut before that, so that its head stays what it was: a fence, a heading, text."""
_LONG_SPACE = 10
_INERT = "\u200b"
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_BLOCK = re.compile(r"[ \t]*(?:>|[-*+][ \t]|\d{1,9}[.)][ \t]|#{1,6}[ \t]|-#[ \t]|`{3}|~{3})")
_HEADING = re.compile(r"[ \t]*(?:#{1,6}[ \t]|-#[ \t])")
_CONTINUED = re.compile(
    r"(?P<quotes>(?:[ \t]{0,8}>){0,4} ?)(?P<item>[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t])?"
)
_SENTENCE = re.compile(r"[.!?…][\"'”’»)\]*_]*(?=\s)|[。！？](?=.)")
_SPACE = re.compile(r"[ \t]+")
_WHOLE = re.compile(
    r"(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|!?\[[^\[\]\n]*\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+\"[^\"\n]*\")?\)"
    r"|<[^<>\s]+>|https?://\S+"
    r"|(?P<strong>\*\*\*|\*\*|__|~~|\|\|)(?=\S).+?(?<=\S)(?P=strong)"
    r"|(?<![\w*])\*(?=[^\s*])[^*\n]+(?<=[^\s*])\*(?![\w*])"
)


@dataclass(frozen=True, slots=True)
class Part:
    """One message: its own piece of the text, and the marks around it."""

    skipped: str
    """White space of the text before it that is left out."""
    before: str
    body: str
    after: str

    @property
    def text(self) -> str:
        """What is sent."""
        return f"{self.before}{self.body}{self.after}"


def split(markdown: str, *, limit: int = MESSAGE_UNITS) -> tuple[str, ...]:
    """The text as messages of at most `limit` units; none for a text in which nothing is seen."""
    return tuple(part.text for part in split_parts(markdown, limit=limit))


def split_parts(markdown: str, *, limit: int = MESSAGE_UNITS) -> tuple[Part, ...]:
    """The parts of a text; `skipped` and `body` of all, joined, are the text but for its end."""
    if limit < SHORTEST_LIMIT:
        raise ValueError(f"a message of {limit} units can't hold a line and its marks")
    return tuple(_Splitter(tidied(markdown), limit).parts())


def tidied(markdown: str) -> str:
    """The text as it is split: well formed, and without long white space at the ends of lines.

    Such would make a line too long for the head of a fence, which it is without.
    """
    lines = well_formed(markdown).split("\n")
    shorter = (line.rstrip() for line in lines)
    return "\n".join(
        each if len(line) - len(each) >= _LONG_SPACE else line
        for line, each in zip(lines, shorter, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Cut:
    end: int
    """Where the body ends."""
    next: int
    """Where the next part begins."""


class _Splitter:
    def __init__(self, text: str, limit: int) -> None:
        self._text = text
        self._limit = limit
        self._lines: Sequence[Line] = scan(text)
        self._starts = [0, *accumulate(len(line.text) + 1 for line in self._lines)]
        self._quoted_from = next(
            (
                start + 1
                for start, line in zip(self._starts, self._lines, strict=False)
                if line.kind in {Kind.TEXT, Kind.OPEN} and line.text.startswith(">>> ")
            ),
            len(text) + 1,
        )

    def parts(self) -> Iterator[Part]:
        told = at = 0
        line = 0
        while (start := self._first_seen(at, line)) is not None:
            line = self._line_of(start, line)
            before = self._before(start, line)
            cut = self._cut(start, line, before)
            body = self._text[start : cut.end]
            if not is_blank(body):
                yield Part(self._text[told:start], before, body, _closing(before + body))
                told = cut.end
            at, line = cut.next, self._line_of(cut.next, line)

    def _line_of(self, position: int, line: int) -> int:
        while line + 1 < len(self._lines) and self._starts[line + 1] <= position:
            line += 1
        return line

    def _end_of(self, line: int) -> int:
        return self._starts[line] + len(self._lines[line].text)

    def _first_seen(self, at: int, line: int) -> int | None:
        """Where the next part begins: blank lines outside code are left out."""
        while at < len(self._text):
            if self._lines[line].kind is not Kind.TEXT:
                return at
            if not is_blank(self._text[at : self._end_of(line)]):
                return at
            line += 1
            if line == len(self._lines):
                return None
            at = self._starts[line]
        return None

    def _before(self, start: int, line: int) -> str:
        """The marks with which a message goes on where the last one ended."""
        here, is_within = self._lines[line], start > self._starts[line]
        quote = ">>> " if start >= self._quoted_from else ""
        rest = self._text[start : self._end_of(line)]
        if here.kind in {Kind.CODE, Kind.CLOSE} and here.fence is not None:
            before = f"{quote}{here.fence.opening}\n"
            if not is_within:
                return before
            guard = _INERT if rest.lstrip(" \t")[:3] in {"```", "~~~"} else ""
            return before + (f"{here.fence.quotes} " if here.fence.quotes else "") + guard
        if not is_within:
            return quote
        found = _CONTINUED.match(here.text)
        assert found is not None
        quotes = found["quotes"] if len(found["quotes"]) <= MOST_PREFIX else ""
        indent = re.sub(r"\S", " ", found["item"] or "")
        lead = quote or quotes + (indent if len(indent) <= MOST_PREFIX else "")
        return lead + (_INERT if _BLOCK.match(rest) else "")

    def _cut(self, start: int, line: int, before: str) -> _Cut:
        room = self._limit - units(before)
        rest = self._text[start : start + room + 1]
        if start + len(rest) == len(self._text):
            end = len(self._text)
            if not self._lines[-1].leaves_open:
                end = start + len(rest.rstrip())
            whole = before + self._text[start:end]
            if units(whole + _closing(whole)) <= self._limit:
                return _Cut(end, len(self._text))
        top = start + index_within(rest, room - _CLOSING_UNITS)
        return self._at_a_line(start, line, top) or self._in_a_line(start, line, top)

    def _at_a_line(self, start: int, line: int, top: int) -> _Cut | None:
        """The best end of a line; None where the text has to be cut in one."""
        found: dict[str, int] = {}
        following = line + 1
        while following < len(self._lines) and self._starts[following] - 1 <= top:
            for kind in self._kinds(following):
                found[kind] = following
            following += 1
        least = {"paragraph": 0.4, "item": 0.4, "line": 0.3, "code": 0.2}
        for kind, share in least.items():
            if kind in found and self._starts[found[kind]] - start >= share * (top - start):
                return self._cut_before(start, found[kind])
        # A line that fits into a message of its own is never cut.
        last = max(found.values(), default=None)
        if last is None:
            return None
        crossing = self._lines[last]
        own = units(crossing.text) + units(self._before(self._starts[last], last)) + _CLOSING_UNITS
        # Cut that early, its head would no longer be what it is.
        is_early = top < self._starts[last] + _LEAST_OF_A_LINE
        return self._cut_before(start, last) if own <= self._limit or is_early else None

    def _kinds(self, line: int) -> Iterator[str]:
        """What a cut before a line is."""
        here, above = self._lines[line], self._lines[line - 1]
        if above.kind is Kind.OPEN:
            return
        if here.kind in {Kind.CODE, Kind.CLOSE}:
            yield "code"
            return
        if self._is_under_a_heading(line):
            return
        if is_blank(above.text) or above.kind is Kind.CLOSE or here.kind is Kind.OPEN:
            yield "paragraph"
        if _HEADING.match(here.text):
            yield "paragraph"
        if _ITEM.match(here.text):
            yield "item"
        yield "line"

    def _is_under_a_heading(self, line: int) -> bool:
        """True where nothing but blank lines stands between a heading and this line."""
        while line > 0 and is_blank(self._lines[line - 1].text):
            line -= 1
        above = self._lines[line - 1] if line > 0 else None
        return above is not None and above.kind is Kind.TEXT and bool(_HEADING.match(above.text))

    def _cut_before(self, start: int, line: int) -> _Cut:
        above = line - 1
        if self._lines[line].kind is Kind.CLOSE:
            # Our own mark stands for it.
            return _Cut(self._starts[line] - 1, min(self._starts[line + 1], len(self._text)))
        end = self._starts[line] - 1
        if not self._lines[above].leaves_open:
            end = start + len(self._text[start:end].rstrip())
        return _Cut(end, self._starts[line])

    def _in_a_line(self, start: int, line: int, top: int) -> _Cut:
        line = self._line_of(top, line)
        first = max(start, min(self._starts[line] + _LEAST_OF_A_LINE, top))
        window = self._text[max(start, self._starts[line]) : top + 200]
        offset = max(start, self._starts[line])
        is_code = self._lines[line].kind is not Kind.TEXT
        spans = [] if is_code else [m.span() for m in _WHOLE.finditer(window)]

        def is_free(at: int) -> bool:
            return not any(a < at - offset < b for a, b in spans)

        for points, share, is_allowed in self._ways(first, top, is_free, is_code=is_code):
            allowed = [
                at for at in points if at - start >= share * (top - start) and is_allowed(at)
            ]
            if allowed:
                return self._within(start, allowed[-1], is_code=is_code)
        at = cluster_start(self._text, top)
        at = at if at > first else top
        while at > first + 1 and is_code is False and not is_free(at) and top - at < 40:
            at -= 1
        return self._within(start, max(at, start + 1), is_code=is_code)

    def _ways(
        self, first: int, top: int, is_free: Callable[[int], bool], *, is_code: bool
    ) -> Iterator[tuple[list[int], float, Callable[[int], bool]]]:
        words = [m.start() for m in _SPACE.finditer(self._text, first, top) if m.start() > first]
        if not is_code:
            sentences = [m.end() for m in _SENTENCE.finditer(self._text, first, top)]
            yield sentences, 0.4, is_free
            yield words, 0.25, is_free
        yield words, 0.25, lambda _: True

    def _within(self, start: int, at: int, *, is_code: bool) -> _Cut:
        if is_code:
            end = start + len(self._text[start:at].rstrip())
            return _Cut(end if at - end >= _LONG_SPACE else at, at)
        after = _SPACE.match(self._text, at)
        end = start + len(self._text[start:at].rstrip())
        return _Cut(end if end > start else at, after.end() if after else at)


def _closing(text: str) -> str:
    """What ends the block of code that is open where a text ends."""
    last = scan(text)[-1]
    if not last.leaves_open or last.fence is None:
        return ""
    return ("" if text.endswith("\n") else "\n") + last.fence.closing
