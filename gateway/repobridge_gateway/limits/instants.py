"""Instants and lengths in whole microseconds: sums of them are exact, also in a script of Valkey.

A clock that was set back finds states that lie in its future. Each kind of state bounds how far in
the future it may lie, and a state beyond that is drawn back: nobody gains by it, and nobody waits
much longer than the limit itself makes them.
"""

from __future__ import annotations

MICROS = 1_000_000
"""Microseconds in a second."""
LONGEST = 10**14
"""Three years: no limit reaches further, which keeps every instant within 53 bits."""


def micros(seconds: float) -> int:
    """An instant or a length in whole microseconds; `seconds_of` comes back to the same."""
    return round(seconds * MICROS)


def seconds_of(instant: int) -> float:
    """The seconds of an instant or a length."""
    return instant / MICROS


def slack(length: int) -> int:
    """How far a state of that length may lie in the future: a clock that jitters gains nothing."""
    return length // 64
