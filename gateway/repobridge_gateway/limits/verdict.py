"""What a limit answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether there is room, and if not, from which instant on there is."""

    is_granted: bool
    until: int = 0
