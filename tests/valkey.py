"""A real Valkey, or the Redis that it began as, on loopback, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts import debian
from tests.ports import free_port
from tests.tied import tied

PROGRAMS = ("valkey-server", "redis-server")
PACKAGE = "redis-server"
"""The Debian package that has one of them in every release."""


def find_program() -> Path:
    """Where the server is, installed where the machine lacks it; that needs root."""
    found = _found()
    if found is None:
        if os.geteuid() != 0:
            raise debian.NotInstalled(
                f"Install {PACKAGE} (Debian's name) or valkey-server: tests need one."
            )
        debian.install([PACKAGE])
        found = _found()
    if found is None:
        raise debian.NotInstalled(f"{PACKAGE} was installed, and has no {' or '.join(PROGRAMS)}.")
    return found


def _found() -> Path | None:
    path = os.pathsep.join((os.environ.get("PATH", ""), debian.SEARCH_PATH))
    paths = (shutil.which(program, path=path) for program in PROGRAMS)
    return next((Path(each) for each in paths if each), None)


class ValkeyServer:
    """One server, which keeps nothing on disk."""

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Starts it, and waits until it takes connections."""
        command = [
            *(str(find_program()), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self._directory), "--save", "", "--appendonly", "no"),
            *options,
        ]
        self._process = subprocess.Popen(tied(command), stdout=subprocess.PIPE, text=True)
        self.wait_for("Ready to accept connections")

    def wait_for(self, words: str) -> None:
        """Waits until it says something in its log."""
        assert self._process is not None
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if words in line:
                return
        raise AssertionError(f"It ended without saying {words!r}:\n{''.join(said)}")

    def freeze(self) -> None:
        """Lets it do nothing, its connections open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it, and all that it knew."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def serving(directory: Path, options: Sequence[str] = ()) -> Iterator[ValkeyServer]:
    """A server while a test needs it."""
    server = ValkeyServer(directory)
    try:
        server.start(*options)
        yield server
    finally:
        server.stop()
