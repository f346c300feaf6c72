"""The programs that build images, from Debian where the machine lacks them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from scripts import debian
from scripts.images.failure import ImagesError

_NEEDED = ("buildah", "debootstrap")
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), debian.SEARCH_PATH))


def ensure_programs(say: Callable[[str], None]) -> None:
    """Installs what is missing; raises ImagesError where that is impossible."""
    if os.geteuid() != 0:
        raise ImagesError(
            "Building images like this needs root; with docker or podman, see docs/images.md."
        )
    if not (missing := _missing()):
        return
    say(f"installing {' '.join(missing)} with apt-get …")
    try:
        debian.install(missing)
    except debian.NotInstalled as refusal:
        raise ImagesError(str(refusal)) from refusal


def _missing() -> list[str]:
    return [name for name in _NEEDED if shutil.which(name, path=_PATH) is None]
