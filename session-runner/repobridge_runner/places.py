"""The runner's directories: made at the start, or refused with what there is to mend."""

from __future__ import annotations

import os
from pathlib import Path

from repobridge.errors import RepoBridgeError
from repobridge_runner.settings import RunnerSettings


class PlaceError(RepoBridgeError):
    """A directory that the runner needs can't be used; the message says why."""


def make_places(settings: RunnerSettings, *, home: str) -> None:
    """Makes the state's directory; on a volume of the bridge's own also all that agents use there.

    Raises PlaceError. What lies elsewhere is its owner's business.
    """
    if settings.volume:
        volume = Path(settings.volume)
        if not volume.is_dir():
            raise PlaceError(f"The volume {volume} is not there; mount one at that path.")
        _check_writable(volume)
        for directory in (settings.directory, Path(home)):
            if directory.is_relative_to(volume):
                _make(directory)
    _make(settings.state_dir)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PlaceError(f"{directory} can't be made: {error.strerror}.") from error
    _check_writable(directory)


def _check_writable(directory: Path) -> None:
    if os.access(directory, os.W_OK | os.X_OK):
        return
    status = directory.stat()
    raise PlaceError(
        f"{directory} can't be written by the user {os.geteuid()}: it belongs to {status.st_uid}"
        f":{status.st_gid} with the mode {status.st_mode & 0o7777:o}. In a pod, set fsGroup to"
        f" {os.getegid()}; elsewhere, change its owner."
    )
