"""What the node needs of Debian, and its installation where something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SEARCH_PATH = os.pathsep.join(
    ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
)
"""Where the node's programs look for others: a person's PATH may lack the sbin directories."""
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
_POLICY = Path("/usr/sbin/policy-rc.d")
_APT_SECONDS = 600


class PackagesMissing(Exception):
    """Programs that the node needs are not there, and can't be installed here."""


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
        say(f"installing {' '.join(packages)} with apt-get")
        _install(packages)
    if packages := missing_packages():
        raise PackagesMissing(
            f"apt-get installed {' '.join(packages)}, but the programs are missing."
        )
    return Programs(
        containerd=_program("containerd"), runc=_program("runc"), plugins=_plugin_directory()
    )


def missing_packages() -> list[str]:
    """The Debian packages whose programs this machine lacks."""
    missing = [package for program, package in PACKAGE_OF.items() if not _find_program(program)]
    return missing if _find_plugins() else [*missing, PLUGIN_PACKAGE]


def _find_program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH_PATH)


def _program(name: str) -> Path:
    found = _find_program(name)
    assert found is not None
    return Path(found)


def _find_plugins() -> Path | None:
    needed = ("bridge", "host-local", "portmap", "loopback")
    return next(
        (path for path in PLUGIN_DIRECTORIES if all((path / name).exists() for name in needed)),
        None,
    )


def _plugin_directory() -> Path:
    found = _find_plugins()
    assert found is not None
    return found


def _install(packages: list[str]) -> None:
    if _find_program("apt-get") is None:
        raise PackagesMissing(
            f"This machine has no apt-get: install {' '.join(packages)} (Debian's names) yourself."
        )
    # Without a policy of the machine's own, the package would start a containerd beside ours.
    policy_is_ours = not _POLICY.exists()
    if policy_is_ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)
    finally:
        if policy_is_ours:
            _POLICY.unlink()


def _apt_get(*arguments: str) -> None:
    ended = subprocess.run(
        ["apt-get", "--quiet", "--option=DPkg::Lock::Timeout=300", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_APT_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        raise PackagesMissing(f"apt-get {arguments[0]} failed: {ended.stderr.strip()}")
