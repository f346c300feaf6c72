"""The drain: a lease on the promise that nothing runs and nothing new is taken."""

from __future__ import annotations

from collections.abc import Callable


class Drain:
    """One drain at a time; it ends by itself, so that a dead caller leaves no deaf runner."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._drain_id = ""
        self._until = 0.0
        self._granted = False

    @property
    def is_active(self) -> bool:
        """New work is refused and the queue is held."""
        return self._clock() < self._until

    @property
    def is_granted(self) -> bool:
        """The caller was told that nothing runs."""
        return self._granted and self.is_active

    def hold(self, drain_id: str, *, seconds: float, granted: bool) -> None:
        """Begins or renews a drain."""
        self._drain_id = drain_id
        self._until = self._clock() + seconds
        self._granted = granted

    def is_held_by_other(self, drain_id: str) -> bool:
        """Whether somebody else drains."""
        return self.is_active and self._drain_id != drain_id

    def release(self, drain_id: str) -> bool:
        """Ends a drain early; False when it was over, or is another's."""
        if not self.is_active or self._drain_id != drain_id:
            return False
        self._until = 0.0
        self._granted = False
        return True
