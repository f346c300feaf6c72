"""The control groups of a cluster: one of its name in every hierarchy, below which its pods are."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_PREFIX = "repobridge-"
_EMPTYING_SECONDS = 60.0


def group_name(cluster: str) -> str:
    """The kubelet's root group, as a path in every hierarchy."""
    return f"/{_PREFIX}{cluster}"


def create(cluster: str) -> None:
    """Makes the cluster's group in every hierarchy, as the kubelet wants to find it there."""
    for hierarchy in _hierarchies():
        group = hierarchy / group_name(cluster)[1:]
        group.mkdir(exist_ok=True)
        if _is_version_2():
            _delegate(hierarchy)
            _delegate(group)


def remove(cluster: str) -> None:
    """Removes the cluster's groups; the kernel may take a moment to empty them of the dead."""
    deadline = time.monotonic() + _EMPTYING_SECONDS
    for group in groups(cluster):
        for directory in (*sorted(group.rglob("*/"), reverse=True), group):
            _remove_empty(directory, deadline)


def groups(cluster: str) -> list[Path]:
    """The cluster's groups that are there."""
    found = (hierarchy / group_name(cluster)[1:] for hierarchy in _hierarchies())
    return [group for group in found if group.is_dir()]


def _hierarchies() -> Iterator[Path]:
    if _is_version_2():
        yield ROOT
        return
    # Version 1: a directory for each controller; some are links to one that serves several.
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_dir() and not path.is_symlink())


def _is_version_2() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _delegate(group: Path) -> None:
    """Lets the groups below have every controller that this one has."""
    names = (group / "cgroup.controllers").read_text().split()
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in names))


def _remove_empty(directory: Path, deadline: float) -> None:
    while directory.is_dir():
        try:
            directory.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
