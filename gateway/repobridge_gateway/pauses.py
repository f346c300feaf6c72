"""How long to let things be that failed: longer each time, each by its own name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class _Pause:
    failures: int
    until: float
    why: str


class Pauses:
    """What is let be, until when and why; `now` is any clock in seconds that never goes back."""

    def __init__(
        self, *, first_seconds: float = FIRST_SECONDS, longest_seconds: float = LONGEST_SECONDS
    ) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._pauses: dict[str, _Pause] = {}

    def failed(self, name: str, now: float, *, why: str, seconds: float = 0.0) -> float:
        """Lets something be, for so long or for twice as long as last time; the seconds."""
        before = self._pauses.get(name)
        failures = before.failures + 1 if before else 1
        doubled = self._first * 2 ** min(failures - 1, _MOST_DOUBLINGS)
        lasts = seconds or min(doubled, self._longest)
        self._pauses[name] = _Pause(failures, now + lasts, why)
        return lasts

    def ended(self, name: str) -> None:
        """Forgets that something failed: it works, or may work again."""
        self._pauses.pop(name, None)

    def holds(self, name: str, now: float) -> bool:
        """Whether something is still to be let be."""
        pause = self._pauses.get(name)
        return pause is not None and now < pause.until

    def held(self, now: float) -> int:
        """How much is still to be let be."""
        return sum(now < pause.until for pause in self._pauses.values())

    def why(self, name: str) -> str:
        """What it failed of last; empty where it works."""
        pause = self._pauses.get(name)
        return pause.why if pause else ""

    def next_seconds(self, now: float) -> float | None:
        """How long until the next pause ends; None where none is to end."""
        left = [pause.until - now for pause in self._pauses.values() if now < pause.until]
        return min(left, default=None)

    def keep(self, names: Collection[str], now: float) -> None:
        """Forgets pauses that are over, except of these."""
        for name, pause in tuple(self._pauses.items()):
            if now >= pause.until and name not in names:
                del self._pauses[name]
