"""What the kernel says of a process: its memory and its processor time."""

from __future__ import annotations

import os
from pathlib import Path


def sizes(pid: int) -> dict[str, float]:
    """The sizes in /proc/PID/status, in bytes; anybody may read them."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = (line.split() for line in lines)
    return {
        words[0].rstrip(":"): float(words[1]) * 1024 for words in fields if words[-1:] == ["kB"]
    }


def cpu_seconds(pid: int) -> float:
    """How long a process and its threads have had a core, for itself and in the kernel."""
    # The name, in parentheses, may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional_bytes(pid: int) -> float:
    """The memory of a process, of shared pages its part: for one's own processes only."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
