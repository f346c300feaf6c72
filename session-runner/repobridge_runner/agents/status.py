"""What the CLI tells its status line: the cost so far, and the size of the context."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Status:
    """One status of a process; the cost is since its start."""

    cost_micro_usd: int
    context_window: int


class StatusReader:
    """Reads the file that the status line's command keeps."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def forget(self) -> None:
        """Removes what a former process told."""
        self._path.unlink(missing_ok=True)

    def read(self) -> Status | None:
        """The present status; None where there is none that can be read."""
        try:
            told = json.loads(self._path.read_bytes())
            return Status(
                cost_micro_usd=round(told["cost"]["total_cost_usd"] * 1_000_000),
                context_window=int(told["context_window"]["context_window_size"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
