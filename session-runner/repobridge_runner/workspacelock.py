"""The fence around a working directory: one runner at a time, however it got there.

The lock is taken on the directory itself. So it leaves no file behind, two runners with different
state directories meet at it, and the kernel lets go of it when its holder dies.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from repobridge_runner.workspaceerror import WorkspaceError

_NO_LOCKS_ON_DIRECTORIES = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP}
_PROC_LOCKS = Path("/proc/locks")


class WorkspaceLock:
    """An exclusive lock, held until it is closed or the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> WorkspaceLock:
        """Locks a directory; raises WorkspaceError(WorkspaceLocked) that names the holder."""
        real = directory.resolve(strict=True)
        try:
            return cls._lock(os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), real)
        except OSError as error:
            if error.errno not in _NO_LOCKS_ON_DIRECTORIES:
                raise
        return cls._lock(_beside(real), real)

    @classmethod
    def _lock(cls, descriptor: int, directory: Path) -> WorkspaceLock:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = holder_of(descriptor)
            os.close(descriptor)
            who = f"process {holder}" if holder else "another process"
            raise WorkspaceError(
                "WorkspaceLocked",
                f"Another runner uses {directory}: {who} holds it; stop that one first.",
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def close(self) -> None:
        """Lets go of the lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder_of(descriptor: int) -> int:
    """The process that holds the lock on an open file; 0 where the kernel does not tell."""
    inode = f":{os.fstat(descriptor).st_ino}"
    with suppress(OSError, ValueError):
        for line in _PROC_LOCKS.read_text().splitlines():
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].endswith(inode):
                return int(fields[4])
    return 0


def _beside(directory: Path) -> int:
    """A file to lock where the file system (NFS) has no locks on directories."""
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    git = directory / ".git"
    path = git / "repobridge.lock" if git.is_dir() else directory.parent / f".repobridge-{name}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
