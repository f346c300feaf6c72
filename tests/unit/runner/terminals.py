"""Shells on a terminal, for the tests of what runs them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from repobridge_runner.terminal import Terminal, WindowSize

ENVIRONMENT = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
SIZE = WindowSize(columns=100, rows=40)
TMP = Path(tempfile.gettempdir())


async def start_shell(
    script: str, *, directory: Path = TMP, closed: Sequence[Path] = (), ring_bytes: int = 1 << 18
) -> Terminal:
    """Starts a shell script."""
    return await Terminal.spawn(
        ["/bin/sh", "-c", script],
        environment=ENVIRONMENT,
        directory=directory,
        size=SIZE,
        closed_directories=closed,
        ring_bytes=ring_bytes,
    )


async def read_all(terminal: Terminal) -> str:
    """Waits for the end, and returns the output with plain line ends."""
    await terminal.wait()
    with terminal.viewer() as viewer:
        output = await anext(viewer)
    assert isinstance(output, bytes)
    return output.decode(errors="replace").replace("\r\n", "\n")


async def run_shell(script: str, *, directory: Path = TMP, closed: Sequence[Path] = ()) -> str:
    """Runs a shell script to its end and returns its output."""
    return await read_all(await start_shell(script, directory=directory, closed=closed))


async def wait_for_output(terminal: Terminal, wanted: bytes) -> bytes:
    """All that the terminal shows, once it has shown something."""
    seen = b""
    with terminal.viewer() as viewer:
        async for item in viewer:
            if isinstance(item, bytes):
                seen += item
            if wanted in seen:
                return seen
    raise AssertionError(f"the terminal ended without {wanted!r}: {seen!r}")
