"""Durations as Go writes them ("10m", "1h30m", "250ms"), because llm-bridge's files hold them.

`parse` and `text` agree with Go's time.ParseDuration and Duration.String to the nanosecond; a
duration is a whole number of nanoseconds within 64 bits, as there.
"""

from __future__ import annotations

import re

from repobridge.errors import RepoBridgeError

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_LARGEST = (1 << 63) - 1
_PART = re.compile(r"(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?(?P<unit>[^0-9.]*)")


class DurationError(RepoBridgeError, ValueError):
    """A text is no duration; the message says why."""


def parse(duration: str) -> int:
    """The nanoseconds that a text such as "1h30m" says; raises DurationError."""
    sign, rest = (-1 if duration[:1] == "-" else 1), duration.removeprefix("-")
    if rest == duration:
        rest = rest.removeprefix("+")
    if rest == "0":
        return 0
    if not rest:
        raise DurationError(f'"{duration}" is not a duration such as "10m" or "1h30m"')
    total = 0
    while rest:
        part, rest = _part(rest, duration)
        total += part
        # The most negative value has no positive twin.
        if total > _LARGEST + (sign < 0):
            raise DurationError(f'"{duration}" is longer than a duration can be (292 years)')
    return sign * total


def _part(rest: str, duration: str) -> tuple[int, str]:
    match = _PART.match(rest)
    assert match is not None
    whole, fraction, unit = match["whole"], match["fraction"] or "", match["unit"]
    if not whole and not fraction:
        raise DurationError(f'"{duration}" is not a duration such as "10m" or "1h30m"')
    if not unit:
        raise DurationError(f'"{duration}" lacks a unit: write "{duration}s" for seconds')
    if unit not in _UNITS:
        raise DurationError(
            f'"{duration}" has the unknown unit "{unit}"; known are h, m, s, ms, us and ns'
        )
    digits = len(whole.lstrip("0"))
    if digits > len(str(_LARGEST)):
        raise DurationError(f'"{duration}" is longer than a duration can be (292 years)')
    nanoseconds = int(whole or "0") * _UNITS[unit]
    return nanoseconds + _fraction(fraction, _UNITS[unit]), rest[match.end() :]


def _fraction(digits: str, unit: int) -> int:
    """Go's own arithmetic: an integer of the leading digits, scaled in floating point."""
    value, scale = 0, 1.0
    for digit in digits:
        if value > _LARGEST // 10 or value * 10 + int(digit) > _LARGEST + 1:
            break
        value = value * 10 + int(digit)
        scale *= 10
    return int(float(value) * (unit / scale))


def text(nanoseconds: int) -> str:
    """A duration as Go prints it: "10m0s", "1.5s", "250ms", "0s"."""
    sign, left = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    if left == 0:
        return "0s"
    if left < SECOND:
        unit = "ns" if left < 1_000 else "µs" if left < 1_000_000 else "ms"
        return f"{sign}{_decimal(left, _UNITS[unit])}{unit}"
    minutes, left = divmod(left, MINUTE)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(left, SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    fraction = f"{rest:0{len(str(unit)) - 1}d}".rstrip("0") if unit > 1 else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


def seconds(nanoseconds: int) -> float:
    """The duration in seconds."""
    return nanoseconds / SECOND


def text_of_seconds(value: float) -> str:
    """A measured number of seconds as Go prints it, to the millisecond."""
    return text(round(value * 1000) * 1_000_000)
