"""A session-runner that SIGKILLs itself right before or right after its n-th commit.

    killed_at.py --at 7 --when before --linger 0.05 --count FILE -- --config runner.json

With `--linger` it stands still between reaching the commit and dying, as on a slow disk: whatever
acts ahead of its commit gets the time to be seen. FILE holds how many commits were begun.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path
from typing import Any

from repobridge_runner.__main__ import main
from repobridge_runner.writer import Writer


class Doom:
    """Counts commits, and ends the process at one of them."""

    def __init__(self, *, at: int, when: str, linger: float, count: Path) -> None:
        self._at = at
        self._when = when
        self._linger = linger
        self._count = count
        self._begun = 0

    def around(self, commit: Any) -> Any:
        """The commit, counted, and with our end before or after it."""

        def counted(writer: Writer, group: list[Any]) -> Any:
            self._begun += 1
            fresh = self._count.with_suffix(".new")
            fresh.write_text(str(self._begun))
            fresh.replace(self._count)  # whoever reads it meanwhile reads a number
            if self._begun == self._at and self._when == "before":
                self._die()
            result = commit(writer, group)
            if self._begun == self._at:
                self._die()
            return result

        return counted

    def _die(self) -> None:
        time.sleep(self._linger)
        os.kill(os.getpid(), signal.SIGKILL)


def doomed_main() -> None:
    """Runs a runner with its end built in."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--at", type=int, required=True)
    parser.add_argument("--when", choices=("before", "after"), required=True)
    parser.add_argument("--linger", type=float, default=0.0)
    parser.add_argument("--count", type=Path, required=True)
    parser.add_argument("rest", nargs="+")
    options = parser.parse_args()
    doom = Doom(at=options.at, when=options.when, linger=options.linger, count=options.count)
    Writer._try = doom.around(Writer._try)  # type: ignore[method-assign]
    main(options.rest)


if __name__ == "__main__":
    doomed_main()
