"""A disk that is really full: text is refused, a turn's end is kept, and room brings it back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("full_disk_child.py")
MOUNT_AND_RUN = 'mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" "$3" "$1"'


def private_mounts() -> list[str]:
    """The command that gives a child mounts of its own, as root or in a user namespace."""
    for command in (["unshare", "--mount"], ["unshare", "--map-root-user", "--mount"]):
        try:
            subprocess.run([*command, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return command
    pytest.skip("this machine allows neither mounts nor user namespaces, so no disk can be filled")


def test_on_a_full_disk_only_what_must_be_written_is_written(tmp_path: Path) -> None:
    child = subprocess.run(
        [
            *private_mounts(),
            *("sh", "-c", MOUNT_AND_RUN, "sh", str(tmp_path), sys.executable, str(CHILD)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == {
        "full": True,
        "reserve held": True,
        "text": "DISK_FULL",
        "group": ["DISK_FULL", "ok", "DISK_FULL"],
        "reserve spent": True,
        "turn's end": "ok",
        "small text": "DISK_FULL",
        "ack": 2,
        "reopened": True,
        "text after reopening": "DISK_FULL",
        "text with room again": "ok",
        "reserve restored": True,
        "replayed": True,
    }
