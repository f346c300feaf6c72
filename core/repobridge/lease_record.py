"""A Lease as its contenders see it: what it says, and when it may be taken from its holder.

Times of other machines are never compared with ours. A contender counts, on its own clock, how
long a record has stood unchanged since it first saw it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LONGEST_SECONDS = 600.0
"""A record that asks for more is a mistake, and must not lock everyone out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long a Lease lasts; retry < renew < duration."""

    duration_seconds: float = 15.0
    """How long a record stands unchanged before another may take the Lease."""
    renew_seconds: float = 10.0
    """How long after a renewal that worked its holder acts; the rest is for calls under way."""
    retry_seconds: float = 2.0
    """How often a holder renews, and others look."""

    def __post_init__(self) -> None:
        if not 0 < self.retry_seconds < self.renew_seconds < self.duration_seconds:
            raise ValueError(f"{self} is not 0 < retry < renew < duration")

    @classmethod
    def of(cls, duration_seconds: float) -> Timing:
        """The usual proportions, for another duration."""
        return cls(
            duration_seconds=duration_seconds,
            renew_seconds=duration_seconds * 10 / 15,
            retry_seconds=duration_seconds * 2 / 15,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a Lease says."""

    holder: str
    """Empty: nobody, because the last one released it."""
    duration_seconds: float
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    version: str = ""
    """The resourceVersion."""

    def taken_by(self, identity: str, *, timing: Timing, wall: datetime) -> Record:
        """The record with which a contender takes or renews it; `wall` is for people to read."""
        is_renewal = self.holder == identity
        return Record(
            holder=identity,
            duration_seconds=timing.duration_seconds,
            transitions=self.transitions + (not is_renewal),
            acquired=self.acquired if is_renewal else micro_time(wall),
            renewed=micro_time(wall),
            version=self.version,
        )

    def released(self, *, wall: datetime) -> Record:
        """The record that lets the next one take it at once."""
        return Record(
            holder="",
            duration_seconds=1.0,
            transitions=self.transitions,
            acquired=self.acquired,
            renewed=micro_time(wall),
            version=self.version,
        )


NOBODY = Record(holder="", duration_seconds=1.0, transitions=-1)
"""Before the first record."""


class Observed:
    """What one contender has seen of a Lease, and since when on its own clock."""

    def __init__(self) -> None:
        self._record: Record | None = None
        self._since = 0.0

    @property
    def holder(self) -> str:
        """Who had it when it was last seen."""
        return self._record.holder if self._record else ""

    def see(self, record: Record | None, *, at: float) -> None:
        """Takes in an answer, `at` the time at which it had come; None: there is no such Lease.

        A Lease that was removed has the holder that it had: that one may not know yet.
        """
        if record is not None and record != self._record:
            self._record, self._since = record, at

    def is_free(self, identity: str, *, at: float, timing: Timing) -> bool:
        """Whether this contender may take it now."""
        if self._record is None or self._record.holder in ("", identity):
            return True
        # Whoever counts with the longer duration is right: the holder may be of another version.
        theirs = min(self._record.duration_seconds, LONGEST_SECONDS)
        stands = max(theirs, timing.duration_seconds)
        return at - self._since >= stands


def micro_time(moment: datetime) -> str:
    """A time as the API server takes it: with six digits of a second, always."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def manifest(record: Record, *, namespace: str, name: str) -> dict[str, Any]:
    """The Lease as the API has it."""
    metadata = {"namespace": namespace, "name": name}
    if record.version:
        metadata["resourceVersion"] = record.version
    spec: dict[str, Any] = {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": max(1, math.ceil(record.duration_seconds)),
        "leaseTransitions": max(0, record.transitions),
        "acquireTime": record.acquired or None,
        "renewTime": record.renewed or None,
    }
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {name: value for name, value in spec.items() if value is not None},
    }


def parsed(found: Mapping[str, Any]) -> Record:
    """What a Lease of the API says; a field that is missing counts as empty."""
    spec = found.get("spec") or {}
    return Record(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
        transitions=int(spec.get("leaseTransitions") or 0),
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        version=found["metadata"]["resourceVersion"],
    )
