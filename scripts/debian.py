"""Installs Debian packages for tests and images, where a machine lacks them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SEARCH_PATH = os.pathsep.join(
    ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
)
"""Where Debian puts programs: a person's PATH may lack the sbin directories."""
_POLICY = Path("/usr/sbin/policy-rc.d")
_LOCK = Path("/run/repobridge-packages.lock")
_APT_SECONDS = 600


class NotInstalled(Exception):
    """Packages can't be installed here; the sentence says what to do, or what apt-get said."""


def install(packages: Sequence[str]) -> None:
    """Installs packages with apt-get, none of which may start a service; needs root."""
    if shutil.which("apt-get", path=SEARCH_PATH) is None:
        raise NotInstalled(
            f"This machine has no apt-get: install {' '.join(packages)} (Debian's names) yourself."
        )
    with _services_kept_down():
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *packages)


@contextmanager
def _services_kept_down() -> Iterator[None]:
    # One at a time: the first to finish would take away the policy that the other relies on.
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_ours = not _POLICY.exists()
        if is_ours:
            _POLICY.write_text("#!/bin/sh\nexit 101\n")
            _POLICY.chmod(0o755)
        try:
            yield
        finally:
            if is_ours:
                _POLICY.unlink()


def _apt_get(*arguments: str) -> None:
    ended = subprocess.run(
        ["apt-get", "--quiet", "--option=DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_APT_SECONDS,
        check=False,
    )
    if ended.returncode != 0:
        raise NotInstalled(f"apt-get {arguments[0]} failed: {ended.stderr.strip()}")
