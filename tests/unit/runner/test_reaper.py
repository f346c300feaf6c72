"""Orphans are reaped, and nobody's child is stolen, in a real subreaper."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("reaper_program.py")
ROOT = Path(__file__).parents[3]


def test_orphans_are_reaped_and_every_owner_learns_how_his_child_ended() -> None:
    environment = {
        "PYTHONPATH": f"{ROOT}/core:{ROOT}/session-runner",
        "PATH": os.environ["PATH"],
    }

    ran = subprocess.run(
        [sys.executable, str(PROGRAM)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == {
        "asyncio": list(range(9)),
        "subprocess": list(range(9)),
        "terminal": list(range(9)),
        "reaped": 20,
        "left": [],
    }
