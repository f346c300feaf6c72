"""Where clusters keep what they have, one directory a cluster, and who holds one.

A cluster is alive exactly as long as its lock is held: the kernel frees the lock however the holder
ends, so that a directory whose lock is free is what a killed cluster left.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from repobridge.process import read_process
from tests.cluster import cgroups
from tests.clustertools.cache import Cache


class ClusterRuns(Exception):
    """Another process holds the cluster of that name."""


class ClusterLeft(Exception):
    """What a cluster left can't be removed."""


@dataclass(frozen=True)
class State:
    """What a running cluster says of itself."""

    pid: int
    """Its first process, as the machine numbers it."""
    start_time: int
    """In clock ticks since boot: with the pid, the identity of that process."""
    is_ready: bool

    @property
    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        process = read_process(self.pid)
        return (
            process is not None and process.start_time == self.start_time and not process.is_zombie
        )


@dataclass(frozen=True)
class Place:
    """The files of one cluster."""

    root: Path
    name: str

    @property
    def directory(self) -> Path:
        """Everything that the cluster writes."""
        return self.root / self.name

    @property
    def lock(self) -> Path:
        """Held by the cluster, and beside its directory, to outlive it."""
        return self.root / f"{self.name}.lock"

    @property
    def control(self) -> Path:
        """The socket of the supervisor."""
        return self.directory / "control.sock"

    @property
    def kubeconfig(self) -> Path:
        """A person's way in, over the machine's loopback."""
        return self.directory / "kubeconfig"

    @property
    def logs(self) -> Path:
        """One file a daemon, and `supervisor.log`."""
        return self.directory / "logs"

    def write_state(self, state: State) -> None:
        """Publishes who runs the cluster, whole or not at all."""
        fresh = self.directory / "state.json.new"
        fresh.write_text(json.dumps(asdict(state)))
        fresh.rename(self.directory / "state.json")

    def read_state(self) -> State | None:
        """What the cluster last said of itself; None before it did."""
        try:
            return State(**json.loads((self.directory / "state.json").read_text()))
        except FileNotFoundError:
            return None


def clusters_root(environment: Mapping[str, str]) -> Path:
    """Where the clusters of this user live: in the cache, as they hold images."""
    return Cache.from_environment(environment).root.with_name("clusters")


def take_lock(place: Place) -> int:
    """Returns a descriptor that holds the cluster's lock, for its supervisor to inherit."""
    place.root.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ClusterRuns(f"A cluster named {place.name} already runs.") from None
        if _is_linked(descriptor, place.lock):
            return descriptor
        os.close(descriptor)  # whoever swept removed the file between our open and our lock


@contextmanager
def swept(place: Place) -> Iterator[int]:
    """Removes what an earlier cluster of that name left; yields the lock, and lets go of it."""
    descriptor = take_lock(place)
    try:
        remove_remains(place)
        yield descriptor
    finally:
        os.close(descriptor)


def sweep(root: Path) -> list[str]:
    """Removes what killed clusters left, and returns their names; those that run are let alone."""
    removed = []
    for lock in sorted(root.glob("*.lock")):
        place = Place(root, lock.stem)
        try:
            with swept(place):
                lock.unlink()
        except ClusterRuns:
            continue
        removed.append(place.name)
    return removed


def remove_remains(place: Place) -> None:
    """Removes what a cluster that has ended left; the caller has its lock."""
    cgroups.remove(place.name)
    if mounts := mounts_under(place.directory):
        raise ClusterLeft(f"Still mounted, so nothing is removed: {', '.join(map(str, mounts))}")
    if place.directory.exists():
        shutil.rmtree(place.directory)


def mounts_under(directory: Path) -> list[Path]:
    """The mount points below a directory that this process sees, the last mounted first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [Path(line.split()[4].replace("\\040", " ")) for line in lines]
    return [point for point in reversed(points) if point.is_relative_to(directory)]


def _is_linked(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
