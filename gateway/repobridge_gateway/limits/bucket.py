"""A token bucket: so many at once, and so many a second over time.

Its whole state is the instant at which it will be full again; before that, what is missing is the
time that is left. So a bucket that is full needs no state at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from repobridge_gateway.limits.instants import LONGEST, MICROS
from repobridge_gateway.limits.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """So many messages a second, and so many at once; 0 in either means no limit."""

    per_second: float
    burst: int
    interval: int = field(init=False, repr=False, compare=False)
    """Microseconds until one more may come: rounded up, so that never more come."""
    filling: int = field(init=False, repr=False, compare=False)
    """Microseconds in which an empty bucket fills."""

    def __post_init__(self) -> None:
        if not (0 <= self.per_second < float("inf")) or self.burst < 0:
            raise ValueError(f"{self} is no limit: neither of its numbers may be below 0")
        interval = 0
        if not self.is_unlimited:
            most = LONGEST // self.burst
            interval = max(1, math.ceil(min(MICROS / self.per_second, most)))
        object.__setattr__(self, "interval", interval)
        object.__setattr__(self, "filling", interval * self.burst)

    @property
    def is_unlimited(self) -> bool:
        """It holds nobody up."""
        return self.per_second == 0 or self.burst == 0


@dataclass(frozen=True, slots=True)
class BucketState:
    """A bucket that somebody took from."""

    full_at: int = 0
    """The instant at which it is full again."""


def take(
    bucket: Bucket, state: BucketState, *, now: int, amount: int = 1
) -> tuple[BucketState, Verdict]:
    """Takes an amount if it is there, or says when it will be.

    The amount is at most the burst. The new state is to be kept in either case.
    """
    filling = bucket.filling
    # A clock set back by less than one filling gives nothing away; beyond that one filling is lost.
    full_at = min(state.full_at, now + 2 * filling)
    after = max(full_at, now) + amount * bucket.interval
    if after - filling <= now:
        return BucketState(after), Verdict(is_granted=True)
    return BucketState(full_at), Verdict(is_granted=False, until=after - filling)


def expiry(state: BucketState) -> int:
    """The instant from which on the state says nothing."""
    return state.full_at
