"""What the supervisor does to its own namespaces, so that the node neither sees nor changes others.

The mounts are the cluster's own: a fresh /proc for its own processes, a fresh /run, layers over the
places where its programs write without a setting for it, and files over those settings of the
kernel that a kubelet would write for the whole machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from repobridge.process import read_process
from scripts.debian import SEARCH_PATH
from tests.cluster.addresses import GATEWAY_ADDRESS, NODE_ADDRESS, NODE_PREFIX
from tests.cluster.places import State, mounts_under


class SeclusionFailed(Exception):
    """The machine refused a mount or a link; the sentence has its words."""


_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet wants to find; where it finds it, it writes nothing."""

_COVERED = (Path("/etc"), Path("/usr/libexec"), Path("/var/lib"), Path("/var/log"))
"""What is written there stays in memory: /etc/cni, /var/lib/kubelet, /var/log/containers, …"""
_RUN = Path("/run")


def read_own_state() -> State:
    """Who this process is to the machine; only true until /proc is the namespace's own."""
    pid = int(os.readlink("/proc/self"))
    process = read_process(pid)
    assert process is not None
    return State(pid=pid, start_time=process.start_time, is_ready=False)


def prepare_mounts(directory: Path) -> None:
    """Gives the mount namespace its own /proc, /run, layers and kernel settings.

    The cluster's directory stays as it is, also where it is below a covered place.
    """
    # Without peers outside, and with peers inside: the kubelet's mounts must reach containerd.
    _run("mount", "--make-rslave", "/")
    _run("mount", "--make-rshared", "/")
    _run("mount", "-t", "proc", "proc", "/proc")
    _run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(_RUN))
    kept = _RUN / "kept"
    kept.mkdir()
    _run("mount", "--bind", str(directory), str(kept))
    for place in _COVERED:
        _cover(place, _RUN / "layers" / place.name)
    _run("mount", "--bind", str(kept), str(directory))
    scratch = _RUN / "kernel-settings"
    scratch.mkdir()
    for name, value in _KERNEL_SETTINGS.items():
        file = scratch / name.replace("/", ".")
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")


def prepare_network() -> None:
    """Gives the network namespace an address, and a default route that leads nowhere."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "node0", "type", "veth", "peer", "name", "nowhere0")
    _run("ip", "address", "add", f"{NODE_ADDRESS}/{NODE_PREFIX}", "dev", "node0")
    for link in ("node0", "nowhere0"):
        _run("ip", "link", "set", link, "up")
    _run("ip", "route", "add", "default", "via", GATEWAY_ADDRESS, "dev", "node0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def detach_mounts(directory: Path) -> None:
    """Unmounts the layers, and everything below a directory, so that it can be removed for good."""
    for place in (directory, *_COVERED):
        # Read anew each time: a mount below the directory is there twice, as its peer is in the
        # place that the directory is bound from, and both go together.
        while points := mounts_under(place):
            _run("umount", "--lazy", str(points[0]))


def _cover(place: Path, layer: Path) -> None:
    upper, work = layer / "upper", layer / "work"
    upper.mkdir(parents=True)
    work.mkdir()
    options = f"lowerdir={place},upperdir={upper},workdir={work}"
    _run("mount", "-t", "overlay", "-o", options, "overlay", str(place))


def _run(*command: str) -> None:
    ended = subprocess.run(
        command,
        env={"PATH": SEARCH_PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise SeclusionFailed(f"{' '.join(command)} failed: {ended.stderr.strip()}")
