"""Unix sockets that only their user can reach: the directory, the lock, the stale ones."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from repobridge.errors import RepoBridgeError

LONGEST_PATH_BYTES = 107
SCHEME = "unix:"
"""What an address begins with that is a path."""
BACKLOG = 128


class SocketError(RepoBridgeError):
    """A socket can't be opened at a path; the message says why and what to do."""


@dataclass
class BoundSocket:
    """A listening socket at a path, with the lock that keeps others from replacing it."""

    listener: socket.socket
    path: Path
    identity: tuple[int, int]
    lock: int | None

    def remove(self) -> None:
        """Stops listening, and removes the path if it is still this socket's; once is enough."""
        if self.lock is None:
            return
        self.listener.close()
        try:
            if _identity(self.path) == self.identity:
                self.path.unlink()
        except OSError:
            pass
        # The lock's file stays: removing it would let two processes lock two different files.
        os.close(self.lock)
        self.lock = None


def bind_private(path: Path) -> BoundSocket:
    """Listens at `path`, mode 0600, in a directory that is this user's alone (0700).

    A socket that nobody listens on any more is replaced; raises SocketError.
    """
    length = len(os.fsencode(path))
    if length > LONGEST_PATH_BYTES:
        raise SocketError(
            f"{path}: a socket's path may have {LONGEST_PATH_BYTES} bytes, this one has {length}; "
            "choose a shorter one."
        )
    make_private_directory(path.parent)
    lock = _lock(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        return BoundSocket(listener=listener, path=path, identity=_identity(path), lock=lock)
    except OSError as error:
        _give_up(listener, lock)
        raise SocketError(f"{path}: {error.strerror}.") from error
    except BaseException:
        _give_up(listener, lock)
        raise


def make_private_directory(directory: Path) -> None:
    """Makes a directory with mode 0700, or checks that it is ours and has it."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = directory.stat()
    except OSError as error:
        raise SocketError(f"{directory}: {error.strerror}.") from error
    if found.st_uid != os.geteuid():
        raise SocketError(f"{directory} belongs to another user (uid {found.st_uid}).")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SocketError(f"{directory} is open to other users; run: chmod 700 {directory}")


def _lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise SocketError(f"{lock_path}: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise SocketError(f"{path}: another process listens there.") from error
    return lock


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SocketError(f"{path} exists and is no socket.")
    # A listener that knows nothing of our lock still answers.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except BlockingIOError:
            pass  # its queue is full: it lives
    raise SocketError(f"{path}: another process listens there.")


def _give_up(listener: socket.socket, lock: int) -> None:
    listener.close()
    os.close(lock)


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


async def accept(listener: socket.socket) -> socket.socket:
    """Waits for the next connection; a passing lack of descriptors is waited out."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection, _ = await loop.sock_accept(listener)
        except ConnectionAbortedError:
            continue
        except OSError:
            if listener.fileno() < 0:
                raise
            await asyncio.sleep(0.1)
            continue
        return connection
