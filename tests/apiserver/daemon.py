"""A server process of a test: its log in a file, its end certain, also when the test is killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.tied import tied

_LOG_TAIL_BYTES = 4_000
_STOP_SECONDS = 60.0


class Daemon:
    """One running process; it dies with the process that started it."""

    def __init__(self, command: Sequence[str | Path], *, directory: Path) -> None:
        self.name = Path(command[0]).name
        self.log = directory / f"{self.name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                tied(command),
                cwd=directory,
                # Memory is there: to collect it seldom saves time of the processor.
                env={"PATH": os.environ["PATH"], "HOME": str(directory), "GOGC": "400"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is the test run's to handle.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """True once the process has ended."""
        return self._process.poll() is not None

    @property
    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")

    def kill(self) -> None:
        """Ends the process at once, and waits until it is gone."""
        self._process.kill()
        self._process.wait(_STOP_SECONDS)
