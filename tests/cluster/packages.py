"""What the node needs of Debian, installed where it is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts import debian

PACKAGE_OF = {
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "mount": "mount",
    "unshare": "util-linux",
}
PLUGIN_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
PLUGIN_PACKAGE = "containernetworking-plugins"
_PLUGINS = ("bridge", "host-local", "portmap", "loopback")


@dataclass(frozen=True)
class Programs:
    """Where the machine has what the node runs."""

    containerd: Path
    runc: Path
    plugins: Path
    """The directory of the CNI plugins."""


def ensure_programs(say: Callable[[str], None]) -> Programs:
    """Installs the packages of what is missing, and returns where things are; needs root."""
    if packages := missing_packages():
        say(f"installing {' '.join(packages)} with apt-get …")
        debian.install(packages)
    containerd, runc, plugins = _find("containerd"), _find("runc"), _find_plugins()
    if containerd is None or runc is None or plugins is None or missing_packages():
        raise debian.NotInstalled(f"After its installation {missing_packages()} is still missing.")
    return Programs(containerd, runc, plugins)


def missing_packages() -> list[str]:
    """The Debian packages whose programs this machine lacks."""
    missing = [package for program, package in PACKAGE_OF.items() if _find(program) is None]
    return missing if _find_plugins() else [*missing, PLUGIN_PACKAGE]


def _find(name: str) -> Path | None:
    found = shutil.which(name, path=debian.SEARCH_PATH)
    return None if found is None else Path(found)


def _find_plugins() -> Path | None:
    return next(
        (path for path in PLUGIN_DIRECTORIES if all((path / name).exists() for name in _PLUGINS)),
        None,
    )
