"""What a runner counts since it started, for its metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from repobridge.session.events import TurnOutcome


@dataclass(slots=True)
class Counts:
    """Counters that only rise."""

    turns: Counter[TurnOutcome] = field(default_factory=Counter)
    agent_starts: int = 0
    agent_crashes: int = 0
