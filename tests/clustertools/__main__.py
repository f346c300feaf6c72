"""`python -m tests.clustertools [NAME …]` builds what is missing, and prints where each one is."""

from __future__ import annotations

import os
import signal
import sys

from tests.clustertools.build import BuildFailed, build_missing
from tests.clustertools.cache import Cache
from tests.clustertools.catalog import TOOLS


def main(names: list[str]) -> int:
    """Builds the named programs, or all."""
    if unknown := [name for name in names if name not in TOOLS]:
        _tell(f"Unknown: {', '.join(unknown)}. There are: {', '.join(TOOLS)}.")
        return 2
    wanted = [tool for tool in TOOLS.values() if not names or tool.name in names]
    cache = Cache.from_environment(os.environ)
    try:
        build_missing(wanted, cache, tell=_tell)
    except BuildFailed as failure:
        _tell(str(failure))
        return 1
    for tool in wanted:
        sys.stdout.write(f"{tool.name}\t{cache.find(tool)}\n")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # So that a terminated build runs its clean-up, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
