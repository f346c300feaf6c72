"""A window: never more than so many in any stretch of its length.

Its state is when how many came. Up to 64 requests it is exact; with more, their instants are
rounded up to a 64th of the length, so that the state stays small: somebody then waits up to that
much longer, and never more come than may.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from repobridge_gateway.limits.instants import LONGEST, micros, seconds_of, slack
from repobridge_gateway.limits.verdict import Verdict

EXACT = 64
"""Up to so many requests a window is exact."""
MOST_ENTRIES = 2 * EXACT + 2
"""Those of both ways of counting; a clock that jumps about can't make more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """So many requests in any stretch of so many seconds; 0 requests mean no limit."""

    seconds: float
    requests: int
    length: int = field(init=False, repr=False, compare=False)
    """In microseconds."""
    step: int = field(init=False, repr=False, compare=False)
    """What instants are rounded up to."""

    def __post_init__(self) -> None:
        is_length = 0 < self.seconds < float("inf")
        length = micros(min(self.seconds, seconds_of(LONGEST))) if is_length else 0
        if not length or self.requests < 0:
            raise ValueError(f"{self} is no limit: it needs a length, and no number below 0")
        object.__setattr__(self, "length", length)
        step = 1 if self.requests <= EXACT else max(1, length // EXACT)
        object.__setattr__(self, "step", step)

    @property
    def is_unlimited(self) -> bool:
        """It holds nobody up."""
        return self.requests == 0


@dataclass(frozen=True, slots=True)
class WindowState:
    """When how many came, the oldest first."""

    entries: tuple[tuple[int, int], ...] = ()


def take(
    window: Window, state: WindowState, *, now: int, amount: int = 1
) -> tuple[WindowState, Verdict]:
    """Counts an amount if there is room for it, or says when there will be.

    The amount is at most the window's requests. The new state is to be kept in either case.
    """
    entries = _seen(window, state, now)
    excess = sum(count for _, count in entries) + amount - window.requests
    if excess > 0:
        until = _room_for(excess, entries, window.length)
        return WindowState(entries), Verdict(is_granted=False, until=until)
    at = max(-(-now // window.step) * window.step, entries[-1][0] if entries else 0)
    if entries and entries[-1][0] == at:
        entries, amount = entries[:-1], entries[-1][1] + amount
    return WindowState((*entries, (at, amount))), Verdict(is_granted=True)


def expiry(window: Window, state: WindowState) -> int:
    """The instant from which on the state says nothing."""
    return state.entries[-1][0] + window.length if state.entries else 0


def _seen(window: Window, state: WindowState, now: int) -> tuple[tuple[int, int], ...]:
    """What still counts; nothing lies further in the future than rounding, or a jitter, puts it."""
    latest = now + slack(window.length)
    if (
        state.entries
        and state.entries[0][0] + window.length > now
        and state.entries[-1][0] <= latest
    ):
        return state.entries  # as most often: nothing is over, and no clock was set back
    seen: list[tuple[int, int]] = []
    for instant, count in state.entries:
        at = min(instant, latest)
        if at + window.length <= now:
            continue
        before = seen.pop()[1] if seen and (seen[-1][0] == at or len(seen) == MOST_ENTRIES) else 0
        seen.append((at, before + count))
    return tuple(seen)


def _room_for(excess: int, entries: tuple[tuple[int, int], ...], length: int) -> int:
    """When so many of those that came first count no more."""
    sums = itertools.accumulate(count for _, count in entries)
    at = next(at for (at, _), sum_ in zip(entries, sums, strict=True) if sum_ >= excess)
    return at + length
