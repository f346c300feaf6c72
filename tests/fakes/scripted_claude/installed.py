"""The scripted program as a test or a benchmark uses it: an executable, its script, its record."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.fakes.scripted_claude.script import VARIABLE

_ROOT = Path(__file__).parents[3]


class ScriptedClaude:
    """An executable in a directory; `script` may be called at any time, for the next start."""

    def __init__(self, directory: Path, **faults: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.executable = directory / "scripted-claude"
        self._directory = directory
        self._script = directory / "script.json"
        self._record = directory / "record.jsonl"
        # -ISE: nothing of site-packages or of the environment is imported.
        self.executable.write_text(
            f"#!{sys.executable} -ISE\nimport sys\nsys.path.insert(0, {str(_ROOT)!r})\n"
            "from tests.fakes.scripted_claude.program import main\nsys.exit(main(sys.argv[1:]))\n"
        )
        self.executable.chmod(0o700)
        self.script(**faults)

    @property
    def environment(self) -> dict[str, str]:
        """What has to stand in the agent's environment."""
        return {VARIABLE: str(self._script)}

    @property
    def agent(self) -> dict[str, Any]:
        """The runner's agent settings that make this program the agent."""
        return {"executable": str(self.executable), "environment": self.environment}

    def script(self, **faults: object) -> None:
        """Says what the next process does wrong; nothing: it behaves."""
        fresh = self._script.with_suffix(".new")
        fresh.write_text(json.dumps({"record": str(self._record), **faults}))
        fresh.replace(self._script)

    def gate(self, name: str) -> Path:
        """A FIFO for `%gate`: the step waits there until `open_gate`."""
        path = self._directory / f"gate-{name}"
        os.mkfifo(path)
        return path

    def recorded(self, kind: str) -> list[dict[str, Any]]:
        """What the processes recorded so far."""
        if not self._record.exists():
            return []
        lines = map(json.loads, self._record.read_text().splitlines())
        return [line for line in lines if line["kind"] == kind]

    def executed(self) -> list[str]:
        """Every prompt whose turn was begun, without those that a restart went on with."""
        return [line["prompt"] for line in self.recorded("prompt") if not line["goes_on"]]


def open_gate(path: Path) -> None:
    """Lets a `%gate` go on, now or when it comes there."""
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    os.write(descriptor, b"\n" * 8)  # lines, for a shell's `read`
    # Kept open on purpose: what is in a FIFO goes with its last descriptor.
    _open.append(descriptor)


_open: list[int] = []
