"""Which status is better not written yet, as another follows at once: each saves a write a wake."""

from __future__ import annotations

from datetime import datetime, timedelta

from repobridge.conditions import Reason
from repobridge_operator.observed import BridgeKey

NODE = timedelta(seconds=0.3)
"""A pod that gets its node within this time is not first said to wait for one."""
ANSWER = timedelta(seconds=0.5)
"""A runner that answers within this time is first said to serve together with what it says."""


class Patience:
    """Since when a status is held back, by bridge; in memory, as a new operator may say it."""

    def __init__(self) -> None:
        self._held: dict[BridgeKey, tuple[Reason, datetime]] = {}

    def pod_made(self, key: BridgeKey, *, now: datetime) -> None:
        """A pod was made: most get their node at once."""
        self._held[key] = Reason.SCHEDULING, now

    def until(
        self,
        key: BridgeKey,
        reason: Reason,
        *,
        is_answered: bool,
        has_address: bool = False,
        now: datetime,
    ) -> datetime | None:
        """Until when a status that says a reason is not to be written; None: it is, now.

        `is_answered` says whether the runner itself has told anything yet, `has_address` that the
        status has an address that nobody was told: whoever woke the bridge dials it at once.
        """
        held, since = self._held.get(key, (None, now))
        if reason is Reason.SCHEDULING and held is reason:
            end = since + NODE
        elif reason is Reason.SERVING and not is_answered and not has_address:
            if held is not reason:
                self._held[key], since = (reason, now), now
            end = since + ANSWER
        else:
            end = now
        if end > now:
            return end
        self._held.pop(key, None)
        return None

    def forget(self, key: BridgeKey) -> None:
        """The bridge is gone."""
        self._held.pop(key, None)
