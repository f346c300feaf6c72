"""What a cluster does to its own mounts, and that all of it can be taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cluster.launch import PROJECT, Parts

_PROGRAM = """
import subprocess, sys
from pathlib import Path
from tests.cluster import places, seclusion

directory = Path(sys.argv[1])
seclusion.prepare_mounts(directory)
for mounted in (directory / "volume", directory / "volume" / "inner"):
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted], check=True)
seclusion.detach_mounts(directory)
print(places.mounts_under(directory))
"""


def test_what_pods_had_mounted_is_unmounted_with_its_peers(
    cluster_parts: Parts, tmp_path: Path
) -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", sys.executable, "-c", _PROGRAM, tmp_path],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
