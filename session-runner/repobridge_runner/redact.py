"""Takes secrets out of text before it reaches the log, also where a stream cuts them apart.

A character is covered when any known value or key pattern covers it, and every longest stretch of
covered characters becomes one `[redacted]`. That is a property of the text alone, so a stream can
release a character as soon as nothing that follows could change it: a complete line without a key
in it flows at once, and at most the longest head of a pattern is held back. What a key goes on
with is dropped as it comes, never kept.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

from .keypatterns import PATTERNS, KeyPattern

REDACTED = "[redacted]"
SHORTEST_SECRET = 6
"""Shorter values are left alone: they would take ordinary words with them."""
_SHORTEST_LINE = 20
_DEEPEST = 200
_SECRET_KEYS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "private-token"}
    | {"aws_secret_access_key", "aws_session_token", "secretaccesskey", "sessiontoken"}
)

_Span = tuple[int, int]


class Redactor:
    """Replaces known secret values, in the forms they are usually written in, and key patterns."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._values = _written_forms(secrets)
        self._prefixes = _trigger_prefixes(PATTERNS)

    def text(self, text: str) -> str:
        """The text without its secrets."""
        stream = self.stream()
        return stream.feed(text) + stream.finish()

    def stream(self) -> RedactionStream:
        """A new stream: what it returns in all equals `text` of what it was fed in all."""
        return RedactionStream(self._values, self._prefixes)

    def json(self, value: Any) -> Any:
        """The same structure with every text in it, keys too, without its secrets."""
        return self._json(value, 0)

    def _json(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= _DEEPEST:
            return REDACTED
        if isinstance(value, dict):
            return {
                self.text(key) if isinstance(key, str) else key: self._member(key, each, depth + 1)
                for key, each in value.items()
            }
        return [self._json(each, depth + 1) for each in value]

    def _member(self, key: Any, value: Any, depth: int) -> Any:
        # The name that makes a value secret is not part of the value's own text here.
        if isinstance(key, str) and isinstance(value, str) and key.lower() in _SECRET_KEYS:
            return REDACTED if value else value
        return self._json(value, depth)


class RedactionStream:
    """One text on its way through, in pieces; not for use by several threads."""

    def __init__(self, values: tuple[str, ...], prefixes: dict[str, list[KeyPattern]]) -> None:
        self._values = values
        self._prefixes = prefixes
        self._longest_prefix = max(map(len, prefixes), default=0)
        self._reset()

    @property
    def held(self) -> int:
        """How many characters wait for what follows."""
        return len(self._buffer)

    def feed(self, delta: str) -> str:
        """Takes a piece; returns what is certain by now."""
        return self._take(delta, last=False) if delta else ""

    def finish(self) -> str:
        """Ends the text; returns the rest. The stream then stands at the start of another text."""
        rest = self._take("", last=True)
        self._reset()
        return rest

    def _reset(self) -> None:
        self._buffer = ""
        self._covers: set[_Span] = set()
        self._running: set[re.Pattern[str]] = set()
        self._in_cover = False

    def _take(self, delta: str, *, last: bool) -> str:
        scan = _Scan(self._buffer + delta, last=last)
        scan.covers = self._covers
        scan.go_on(self._running, len(self._buffer))
        for value in self._values:
            scan.value(value)
        for pattern in PATTERNS:
            scan.pattern(pattern)
        if not last:
            self._hold_cut_triggers(scan)
        return self._release(scan)

    def _hold_cut_triggers(self, scan: _Scan) -> None:
        size = len(scan.text)
        for length in range(min(self._longest_prefix, size), 0, -1):
            place = size - length
            for pattern in self._prefixes.get(scan.text[place:], ()):
                if pattern.may_become.match(scan.text, place):
                    scan.hold = min(scan.hold, place)
                    return

    def _release(self, scan: _Scan) -> str:
        out: list[str] = []
        position, hold = 0, scan.hold
        for first, after in sorted(scan.covers):
            start, end = max(first, position), min(after, hold)
            if end <= start:
                continue
            self._plain(out, scan.text[position:start])
            if not self._in_cover:
                out.append(REDACTED)
                self._in_cover = True
            position = end
        self._plain(out, scan.text[position:hold])
        self._buffer = scan.text[hold:]
        self._covers = {(max(a - hold, 0), b - hold) for a, b in scan.covers if b > hold}
        self._running = scan.running
        return "".join(out)

    def _plain(self, out: list[str], text: str) -> None:
        if text:
            out.append(text)
            self._in_cover = False


class _Scan:
    """One pass over what is held and what came: what is covered, and what is not yet decided."""

    def __init__(self, text: str, *, last: bool) -> None:
        self.text = text
        self.last = last
        self.hold = len(text)
        self.covers: set[_Span] = set()
        self.running: set[re.Pattern[str]] = set()

    def go_on(self, running: Iterable[re.Pattern[str]], start: int) -> None:
        """Continues the runs that reached the end of what was there before."""
        for run in running:
            self._run(run, start)

    def value(self, value: str) -> None:
        """Covers every occurrence of a value; holds where one may be cut at the end."""
        place = self.text.find(value)
        while place >= 0:
            self._cover(place, place + len(value))
            place = self.text.find(value, place + 1)
        if self.last or self.text[-1:] not in value:
            return
        place = self.text.find(value[0], max(0, len(self.text) - len(value) + 1))
        while place >= 0:
            if value.startswith(self.text[place:]):
                self.hold = min(self.hold, place)
                return
            place = self.text.find(value[0], place + 1)

    def pattern(self, pattern: KeyPattern) -> None:
        """Covers every match of a pattern; holds where one may be cut after its trigger."""
        if not pattern.triggers:
            self._pattern_without_trigger(pattern)
            return
        for trigger in pattern.triggers:
            followed = -1
            place = self.text.find(trigger)
            while place >= 0:
                if match := pattern.decides.match(self.text, place):
                    followed = self._matched(pattern, match, followed)
                elif self._undecided(pattern, place):
                    self.hold = min(self.hold, place)
                place = self.text.find(trigger, place + 1)

    def _pattern_without_trigger(self, pattern: KeyPattern) -> None:
        followed = -1
        match = pattern.decides.search(self.text)
        while match:
            followed = self._matched(pattern, match, followed)
            match = pattern.decides.search(self.text, match.start() + 1)
        if not self.last:
            earliest = max(0, len(self.text) - pattern.decided_after)
            cut = pattern.may_become.search(self.text, earliest)
            if cut and cut.start() < len(self.text):
                self.hold = min(self.hold, cut.start())

    def _undecided(self, pattern: KeyPattern, place: int) -> bool:
        if self.last or place + pattern.decided_after <= len(self.text):
            return False
        return pattern.may_become.match(self.text, place) is not None

    def _matched(self, pattern: KeyPattern, match: re.Match[str], followed: int) -> int:
        """Covers a match and its run, unless the run was followed before, up to `followed`."""
        self._cover(match.start(1), match.end(1))
        # A later start within a run has the same end: no character is looked at twice.
        if pattern.goes_on is None or match.end() < followed:
            return followed
        return self._run(pattern.goes_on, match.end())

    def _run(self, run: re.Pattern[str], start: int) -> int:
        match = run.match(self.text, start)
        end = match.end() if match else start
        self._cover(start, end)
        if end == len(self.text) and not self.last:
            self.running.add(run)
        return end

    def _cover(self, start: int, end: int) -> None:
        if end > start:
            self.covers.add((start, end))


def _trigger_prefixes(patterns: Iterable[KeyPattern]) -> dict[str, list[KeyPattern]]:
    prefixes: dict[str, list[KeyPattern]] = {}
    for pattern in patterns:
        cut = {each[:n] for each in pattern.triggers for n in range(1, len(each))}
        for prefix in cut:
            prefixes.setdefault(prefix, []).append(pattern)
    return prefixes


def _written_forms(secrets: Iterable[str]) -> tuple[str, ...]:
    forms: set[str] = set()
    for secret in secrets:
        for value in _values(secret):
            forms.update(each for each in _forms(value) if len(each) >= SHORTEST_SECRET)
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _values(secret: str) -> Iterator[str]:
    """The secret, and the long lines of one that has several: they get indented and quoted."""
    value = secret.strip()
    if len(value) < SHORTEST_SECRET:
        return
    yield value
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE and "-----" not in line)


def _forms(value: str) -> Iterator[str]:
    yield value
    for escaped in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield escaped
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), escaped)
    for ascii_only in (True, False):
        once = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
    yield from _base64_forms(value.encode("utf-8", "surrogatepass"))


def _base64_forms(value: bytes) -> Iterator[str]:
    """What is certain of the value in base64, wherever among other bytes it stands."""
    for offset in range(3):
        padded = bytes(offset) + value
        whole = len(padded) * 8 // 6
        first = (offset * 8 + 5) // 6
        plain = base64.b64encode(padded).decode()[first:whole]
        yield plain
        yield plain.translate({ord("+"): "-", ord("/"): "_"})
