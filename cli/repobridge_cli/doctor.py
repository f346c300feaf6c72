"""`repobridge doctor`: what this machine has and lacks, and how to mend each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from repobridge_cli.checks import Finding, Level, every_check

_MARKS = {Level.OK: "✓", Level.INFO: "·", Level.WARNING: "!", Level.FAILED: "✗"}
_COLOURS = {Level.OK: "32", Level.INFO: "2", Level.WARNING: "33", Level.FAILED: "31"}


def run(*, config: str, socket: str) -> int:
    """Prints every finding; returns 1 where something has to be mended."""
    environment: Mapping[str, str] = dict(os.environ)
    colour = sys.stdout.isatty() and not environment.get("NO_COLOR")
    worst = Level.OK
    for finding in every_check(environment, config=config, socket=socket):
        print(_shown(finding, colour=colour), flush=True)
        worst = max(worst, finding.level)
    return int(worst is Level.FAILED)


def _shown(finding: Finding, *, colour: bool) -> str:
    mark = _MARKS[finding.level]
    if colour:
        mark = f"\x1b[{_COLOURS[finding.level]}m{mark}\x1b[0m"
    text = f"{mark} {finding.subject}: {finding.text}".replace("\n", "\n    ")
    return f"{text}\n    → {finding.mend}" if finding.mend else text
