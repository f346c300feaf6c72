"""The programs that build images, from Debian where the machine lacks them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from scripts.images.failure import ImagesError

_NEEDED = ("buildah", "debootstrap")
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_POLICY = Path("/usr/sbin/policy-rc.d")


def ensure_programs(say: Callable[[str], None]) -> None:
    """Installs what is missing; raises ImagesError where that is impossible."""
    if os.geteuid() != 0:
        raise ImagesError(
            "Building images like this needs root; with docker or podman, see docs/images.md."
        )
    if not (missing := _missing()):
        return
    if shutil.which("apt-get", path=_PATH) is None:
        raise ImagesError(f"Install {' and '.join(missing)}; this machine has no apt-get.")
    say(f"installing {' '.join(missing)} with apt-get …")
    _install(missing)


def _missing() -> list[str]:
    return [name for name in _NEEDED if shutil.which(name, path=_PATH) is None]


def _install(packages: list[str]) -> None:
    # No package may start a daemon of its own, unless the machine has a policy already.
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)
    finally:
        if ours:
            _POLICY.unlink()


def _apt_get(*arguments: str) -> None:
    done = subprocess.run(
        ["apt-get", "--quiet", "--option=DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ImagesError(f"apt-get {arguments[0]} failed: {done.stderr.strip()}")
