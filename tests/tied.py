"""Commands for processes that must not outlive the one that starts them, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_PROGRAM = Path(__file__).parent / "programs" / "tied.py"


def tied(command: Sequence[str | Path]) -> list[str]:
    """The command, killed by the kernel when the thread that starts it ends."""
    launcher = [sys.executable, "-I", "-S", str(_PROGRAM), str(os.getpid())]
    return [*launcher, *map(str, command)]
