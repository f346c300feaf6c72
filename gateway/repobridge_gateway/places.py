"""Where `serve` keeps what must last, and where its sockets are.

State lives in `$XDG_STATE_HOME/repobridge`, sockets in `$XDG_RUNTIME_DIR/repobridge` (or with the
state, where that is unset). All of it is private to the user.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from repobridge.errors import RepoBridgeError
from repobridge.names import slug
from repobridge.unix_socket import make_private_directory

LONGEST_SOCKET_PATH = 100
"""In bytes; the kernel's own limit is 107."""


class PlaceError(RepoBridgeError):
    """What is kept for a bridge can't be used; the message says what, why, and how to mend it."""


@dataclass(frozen=True)
class BridgePlaces:
    """What belongs to one bridge."""

    directory: Path
    socket: Path

    @property
    def settings_file(self) -> Path:
        """What the runner is told."""
        return self.directory / "runner.json"

    @property
    def state_dir(self) -> Path:
        """The runner's own."""
        return self.directory / "state"

    @property
    def pid_file(self) -> Path:
        """Which process the runner is, so that one that a dead `serve` left can be ended."""
        return self.directory / "runner.pid"

    @property
    def metrics_socket(self) -> Path:
        """Where the runner tells what it counts, beside its socket."""
        return self.socket.with_suffix(".metrics")

    @property
    def progress_file(self) -> Path:
        """How far the gateway has read the runner's log."""
        return self.directory / "progress.json"


def state_dir(environment: Mapping[str, str]) -> Path:
    """`$XDG_STATE_HOME/repobridge`."""
    return _base(environment, "XDG_STATE_HOME", ".local/state") / "repobridge"


def serve_socket(environment: Mapping[str, str]) -> Path:
    """Where `serve` listens and `chat` looks, unless an option says otherwise."""
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        return Path(runtime) / "repobridge" / "serve.sock"
    return state_dir(environment) / "serve.sock"


def _base(environment: Mapping[str, str], variable: str, below_home: str) -> Path:
    value = environment.get(variable, "")
    # The XDG rules: a relative value is to be ignored.
    return Path(value) if os.path.isabs(value) else Path(environment.get("HOME", "/")) / below_home


def runner_socket_dir(serve_socket: Path) -> Path:
    """A private directory for runners' sockets: beside our own, or a short one elsewhere."""
    beside = serve_socket.parent / "runners"
    if len(os.fsencode(beside)) + len("/0123456789abcdef.sock") <= LONGEST_SOCKET_PATH:
        make_private_directory(beside)
        return beside
    return Path(tempfile.mkdtemp(prefix="repobridge-"))


def bridge_places(name: str, *, state: Path, sockets: Path) -> BridgePlaces:
    """The places of a bridge, made if need be."""
    directory = state / "bridges" / slug(name)
    make_private_directory(state)
    make_private_directory(directory.parent)
    make_private_directory(directory)
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return BridgePlaces(directory=directory, socket=sockets / f"{digest}.sock")


def bridge_uid(places: BridgePlaces) -> str:
    """The bridge's UID, made once and kept."""
    path = places.directory / "uid"
    try:
        return str(uuid.UUID(path.read_text(encoding="ascii").strip()))
    except FileNotFoundError:
        uid = str(uuid.uuid4())
        write_whole(path, uid + "\n")
        return uid
    except (OSError, ValueError) as error:
        # A new UID would hide the sessions that the old one named.
        raise PlaceError(
            f"{path} does not hold a UUID; restore it, or remove it to forget."
        ) from error


def made_at(places: BridgePlaces) -> float:
    """When the bridge's UID was made, in seconds since the epoch."""
    return (places.directory / "uid").stat().st_mtime


def write_whole(path: Path, text: str, *, durable: bool = True) -> None:
    """Writes a private file so that a reader sees the old content or the new, never a part.

    Without `durable` that holds when this process is killed, not when the machine is.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)
