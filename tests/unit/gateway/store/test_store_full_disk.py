"""A disk that is really full: what does not fit is refused whole, and room brings it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.unit.runner.test_journal_full_disk import private_mounts

ROOT = Path(__file__).parents[4]
CHILD = Path(__file__).with_name("full_disk_child.py")
MOUNT_AND_RUN = 'mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" "$3" "$1"'


def test_on_a_full_disk_nothing_is_half_written_and_with_room_it_goes_on(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "core"), str(ROOT / "gateway")])
    child = subprocess.run(
        [
            *private_mounts(),
            *("sh", "-c", MOUNT_AND_RUN, "sh", str(tmp_path), sys.executable, str(CHILD)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == {
        "a message": "RESOURCE_EXHAUSTED STORE_FULL",
        "an answer": "RESOURCE_EXHAUSTED STORE_FULL",
        "pieces of it": 0,
        "its place in the log": False,
        "still read": True,
        "on their way": ["ok", "ok"],
        "counted": 2,
        "made room": "ok",
        "a small message": "RESOURCE_EXHAUSTED STORE_FULL",
        "kept": True,
        "with room again": ["ok", "ok"],
        "sent whole": True,
    }
