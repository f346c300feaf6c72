"""What closing directories to an agent would cost it, so that the runner can decide and say so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from repobridge.telemetry import Logger
from repobridge_runner.launch import ancestors, landlock_abi

__all__ = ["closed_to_agents", "landlock_abi", "narrowed_directories"]
_log = Logger("repobridge.runner")


def narrowed_directories(closed: Sequence[Path]) -> tuple[Path, ...]:
    """Lists where this user could create entries, and a program with these closed could not.

    Those are the ancestors of the closed directories as far as they are writable; launch.py says
    why. Empty: closing costs nothing.
    """
    way = ancestors([os.fsencode(path.resolve()) for path in closed])
    return tuple(sorted(Path(os.fsdecode(path)) for path in way if os.access(path, os.W_OK)))


def closed_to_agents(state_dir: Path, *, volume: str = "") -> tuple[Path, ...]:
    """What an agent's processes can't open, where the kernel can close it at no cost to them.

    Landlock would also keep them from making entries in every directory above: that is right in
    the root of a volume that is the bridge's own, and would break a home directory.
    """
    private = state_dir / "private"
    ours = {state_dir.resolve(), *([Path(volume).resolve()] if volume else [])}
    narrowed = set(narrowed_directories([private])) - ours
    if not landlock_abi() or narrowed:
        where = ", ".join(map(str, sorted(narrowed)))
        _log.debug("runner state not closed to agents", would_narrow=where)
        return ()
    return (private,)
