"""Whether the kernel killed for want of memory: the counter of this process's own cgroup."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

RECENT_SECONDS = 5.0


def counter_files(
    *, membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> list[Path]:
    """Lists the files that may hold this process's count of OOM kills, the likeliest first.

    Within a container the paths of /proc/self/cgroup may be those of the host, while the
    mount shows the container's own cgroup at its root: so both are tried.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    files: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            files += [base / "memory.events" for base in (root / path.lstrip("/"), root)]
        elif "memory" in controllers.split(","):
            base = root / "memory"
            files += [b / "memory.oom_control" for b in (base / path.lstrip("/"), base)]
    return list(dict.fromkeys(files))


def read_count(files: Sequence[Path]) -> int | None:
    """Returns the number of OOM kills from the first file that tells it; None where none does."""
    for file in files:
        try:
            fields = dict(line.split(" ", 1) for line in file.read_text().splitlines() if line)
            return int(fields["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return None


class OomCounter:
    """Remembers the count and when it rose last, so that an exit by SIGKILL can be explained.

    `observe` wants to be called every second or so (the reaper does): a rise between two calls
    counts as having happened at the later one.
    """

    def __init__(
        self, files: Sequence[Path], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files = files
        self._clock = clock
        self._count = read_count(files)
        self._rose_at: float | None = None

    def observe(self) -> None:
        """Reads the count."""
        count = read_count(self._files)
        if count is not None and self._count is not None and count > self._count:
            self._rose_at = self._clock()
        self._count = count if count is not None else self._count

    def rose_recently(self, *, within_seconds: float = RECENT_SECONDS) -> bool:
        """True when the kernel killed for want of memory within the last seconds."""
        self.observe()
        return self._rose_at is not None and self._clock() - self._rose_at <= within_seconds
