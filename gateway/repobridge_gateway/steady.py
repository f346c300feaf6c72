"""How long ago something was, across restarts and whatever the clock on the wall does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Steady:
    """A moment of one run of one machine: seconds since it started, asleep or not."""

    boot_id: str
    """Empty where the machine has none: then two moments are never of the same run."""
    seconds: float

    def since(self, earlier: Steady) -> float | None:
        """The seconds between two moments; None where nobody can tell."""
        if not self.boot_id or self.boot_id != earlier.boot_id:
            return None
        return self.seconds - earlier.seconds


def now() -> Steady:
    """This moment."""
    try:
        return Steady(_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))
    except (OSError, AttributeError):
        return Steady("", time.monotonic())


@cache
def _boot_id() -> str:
    """Of the run that this process is of; a machine that starts anew ends it."""
    return _BOOT_ID.read_text(encoding="ascii").strip()
