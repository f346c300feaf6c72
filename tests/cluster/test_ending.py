"""Nothing of a cluster outlives it: not when it is ended, nor when it, or its owner, is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from repobridge.process import descendants, processes, read_process
from tests.cluster import cgroups, launch, places
from tests.cluster.addresses import MODEL_URL
from tests.cluster.conftest import new_place, tell
from tests.cluster.handle import Cluster, attach
from tests.cluster.launch import PROJECT, Parts
from tests.cluster.objects import make_pod
from tests.cluster.periods import Periods
from tests.cluster.places import Place, State
from tests.cluster.plan import Plan, plan_file

PATIENCE_SECONDS = 180.0

_OWNER = """
import os, sys, time
from tests.cluster import launch
from tests.cluster.periods import Periods
from tests.cluster.places import Place
from pathlib import Path
place = Place(Path(sys.argv[1]), sys.argv[2])
parts = launch.get_parts(os.environ, print)
launch.launch(place, parts, periods=Periods(), is_tied=True, say=lambda line: None)
print("ready", flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Traces:
    """What of a running cluster could be left."""

    place: Place
    processes: frozenset[tuple[int, int]]
    """Pids with start times."""
    network: str
    mounts: str

    @classmethod
    def of(cls, place: Place) -> Traces:
        state = _state(place)
        first = (read_process(pid) for pid in (_launcher(place), state.pid))
        family = {(each.pid, each.start_time) for each in first if each is not None}
        family |= {(each.pid, each.start_time) for each in descendants(state.pid)}
        own = Path(f"/proc/{state.pid}/ns")
        return cls(place, frozenset(family), os.readlink(own / "net"), os.readlink(own / "mnt"))

    def alive(self) -> set[tuple[int, int]]:
        found = ((pid, read_process(pid)) for pid, _ in self.processes)
        return {
            (pid, process.start_time)
            for pid, process in found
            if process is not None
            and not process.is_zombie
            and (pid, process.start_time) in self.processes
        }

    def left(self) -> list[str]:
        """Everything that is still there, in words."""
        held = set(_namespaces())
        facts = {
            f"processes {self.alive()}": bool(self.alive()),
            "network": self.network in held,
            "mounts": self.mounts in held or bool(places.mounts_under(self.place.directory)),
            "control groups": bool(cgroups.groups(self.place.name)),
            "directory": self.place.directory.exists(),
            "lock": self.place.lock.exists(),
        }
        return [name for name, is_left in facts.items() if is_left]


@pytest.fixture
def place() -> Iterator[Place]:
    fresh = new_place("ending")
    yield fresh
    launch.end(fresh)


def _launch(
    place: Place, parts: Parts, *, is_tied: bool, has_imitations: bool = False
) -> tuple[Cluster, subprocess.Popen[bytes]]:
    process = launch.launch(
        place, parts, periods=Periods(), is_tied=is_tied, say=tell, has_imitations=has_imitations
    )
    return attach(place, parts.tools["kubectl"]), process


def test_a_cluster_is_ended_also_while_it_starts(place: Place, cluster_parts: Parts) -> None:
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, place.root, place.name], cwd=PROJECT)
    with owner:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not place.directory.exists():  # from then on it holds the lock
            assert time.monotonic() < deadline
            time.sleep(0.01)

        launch.end(place)

        assert owner.wait(PATIENCE_SECONDS) == 1
    assert not place.directory.exists()
    assert cgroups.groups(place.name) == []


async def test_a_cluster_that_is_ended_leaves_nothing(place: Place, cluster_parts: Parts) -> None:
    cluster, process = _launch(place, cluster_parts, is_tied=False, has_imitations=True)
    await cluster.apply(make_pod("still-running", "hold"))
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/still-running", "--timeout=180s")
    traces = Traces.of(place)
    assert _names(traces) >= {"kubelet", "containerd", "containerd-shim", "probe"}
    assert (place.logs / "model.log").read_text() == f"{MODEL_URL}\n"
    port = Plan.parse(plan_file(place).read_text()).page_port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as answer:
        assert b"<html" in answer.read()

    assert launch.end(place) is True

    assert process.wait(PATIENCE_SECONDS) == 0
    assert traces.left() == []
    assert launch.end(place) is False


def test_a_cluster_goes_with_the_process_that_was_killed_over_it(
    place: Place, cluster_parts: Parts
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, place.root, place.name],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        traces = Traces.of(place)
        launcher = os.pidfd_open(_launcher(place))
        owner.kill()

    _wait_gone(launcher)

    assert traces.left() == []


def test_what_a_killed_supervisor_leaves_is_swept_by_the_next_start(
    place: Place, cluster_parts: Parts
) -> None:
    _, process = _launch(place, cluster_parts, is_tied=True)
    traces = Traces.of(place)

    os.kill(_state(place).pid, signal.SIGKILL)
    process.wait(PATIENCE_SECONDS)

    assert traces.left() == ["control groups", "directory", "lock"]
    assert place.name in places.sweep(place.root)
    assert traces.left() == []


def test_a_daemon_that_does_not_start_ends_the_start_and_leaves_nothing(
    place: Place, cluster_parts: Parts
) -> None:
    broken = replace(cluster_parts, tools={**cluster_parts.tools, "kubelet": Path("/bin/false")})

    with pytest.raises(launch.LaunchFailed, match="kubelet has ended"):
        _launch(place, broken, is_tied=False)

    assert not place.directory.exists()
    assert cgroups.groups(place.name) == []


def test_what_is_still_mounted_is_not_removed(cluster_parts: Parts, tmp_path: Path) -> None:
    volume = tmp_path / "left" / "volume"
    volume.mkdir(parents=True)
    (tmp_path / "others").mkdir()
    kept = tmp_path / "others" / "file"
    kept.write_text("kept")
    removing = "import sys; from tests.cluster.places import *;" + (
        "remove_remains(Place(Path(sys.argv[1]), 'left'))"
    )
    script = 'mount --bind "$1/others" "$1/left/volume" && exec "$0" -c "$2" "$1"'

    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable, tmp_path, removing],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert f"Still mounted, so nothing is removed: {volume}" in ended.stderr
    assert kept.read_text() == "kept"


def _state(place: Place) -> State:
    state = place.read_state()
    assert state is not None
    return state


def _launcher(place: Place) -> int:
    """The process that made the namespaces; it is in two of them, and the last to go."""
    supervisor = read_process(_state(place).pid)
    assert supervisor is not None
    return supervisor.parent


def _names(traces: Traces) -> set[str]:
    found = (read_process(pid) for pid, _ in traces.processes)
    return {process.name for process in found if process is not None}


def _namespaces() -> Iterator[str]:
    for process in processes():
        for kind in ("net", "mnt"):
            try:
                yield os.readlink(f"/proc/{process.pid}/ns/{kind}")
            except OSError:  # it ended while we looked
                continue


def _wait_gone(pidfd: int) -> None:
    try:
        ended, _, _ = select.select([pidfd], [], [], PATIENCE_SECONDS)
    finally:
        os.close(pidfd)
    assert ended, "the cluster is still there"
