"""One limit's turn: its state as a ledger keeps it, a few whole numbers, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass

from repobridge_gateway.limits import bucket, window
from repobridge_gateway.limits.bucket import Bucket, BucketState
from repobridge_gateway.limits.ledger import Limit
from repobridge_gateway.limits.verdict import Verdict
from repobridge_gateway.limits.window import WindowState

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a state."""

    numbers: Numbers
    verdict: Verdict
    expiry: int
    """From when on the numbers say nothing."""


def take(limit: Limit, numbers: Numbers, *, now: int) -> Taken:
    """Takes one from a limit; no numbers are the state of one that was never used."""
    if isinstance(limit, Bucket):
        full, verdict = bucket.take(limit, BucketState(*numbers), now=now)
        return Taken(numbers=(full.full_at,), verdict=verdict, expiry=bucket.expiry(full))
    entries = WindowState(tuple(zip(numbers[::2], numbers[1::2], strict=True)))
    state, verdict = window.take(limit, entries, now=now)
    flat = tuple(number for entry in state.entries for number in entry)
    return Taken(numbers=flat, verdict=verdict, expiry=window.expiry(limit, state))
