"""What closing directories to an agent would cost it, so that the runner can decide and say so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from repobridge_runner.launch import ancestors, landlock_abi

__all__ = ["landlock_abi", "narrowed_directories"]


def narrowed_directories(closed: Sequence[Path]) -> tuple[Path, ...]:
    """Lists where this user could create entries, and a program with these closed could not.

    Those are the ancestors of the closed directories as far as they are writable; launch.py says
    why. Empty: closing costs nothing.
    """
    way = ancestors([os.fsencode(path.resolve()) for path in closed])
    return tuple(sorted(Path(os.fsdecode(path)) for path in way if os.access(path, os.W_OK)))
