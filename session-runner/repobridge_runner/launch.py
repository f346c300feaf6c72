"""The last step before an agent's own program: makes the process what the runner needs, then execs.

Runs as a program of its own (`python -I -S -E launch.py SPEC_FD STATUS_FD`), because the work has
to happen between fork and exec, where code of a process with gRPC's threads may not run. It uses
the standard library alone and imports as little of it as it can.

On SPEC_FD waits a marshalled dictionary (`Spec`). STATUS_FD closes on exec: the runner reads
b"E" and the end of the stream when the exec worked, b"E" and an errno when it did not, and a
sentence alone when the launch failed before.

Why a closed directory has a price: Landlock knows only what is allowed, never what is denied. So
everything beside the way down to a closed directory is allowed, entry by entry, and the
directories on that way are not. Entries that exist there at the launch work as ever (moving them
elsewhere apart); but the child can neither make, remove nor rename an entry directly in an
ancestor of a closed directory, nor read or write a file that appears directly there later. Place
the closed directory under ancestors that the child has no business to write in
(`ancestors` lists them). Listing names is not restricted, as `ls /` would have to fail
with it.
"""

from __future__ import annotations

import ctypes
import fcntl
import marshal
import os
import resource
import signal
import sys
import termios

TYPE_CHECKING = False  # importing `typing` would cost this program 5 ms
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypedDict

    class Spec(TypedDict):
        """What to start; paths and words as the bytes that the kernel sees."""

        argv: list[bytes]
        environment: dict[bytes, bytes]
        parent: int
        closed: list[bytes]


READ_FILE = 1 << 2
WRITE_FILE = 1 << 1
REMOVE_DIR, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK = 1 << 6, 1 << 7, 1 << 8, 1 << 9
MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = 1 << 10, 1 << 11, 1 << 12
REFER, TRUNCATE = 1 << 13, 1 << 14  # since ABI 2 and 3
ON_FILES = READ_FILE | WRITE_FILE | TRUNCATE
HANDLED = (
    ON_FILES | REMOVE_DIR | REMOVE_FILE | REFER
    | MAKE_CHAR | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | MAKE_SYM
)  # fmt: skip

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9


class LaunchError(Exception):
    """A step before exec failed; the message is a sentence for people."""


def landlock_abi() -> int:
    """Returns the version of Landlock that the running kernel offers; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    version: int = _libc().syscall(_CREATE_RULESET, None, _size(0), 1)
    return max(0, version)


def ancestors(closed: Sequence[bytes]) -> set[bytes]:
    """Returns every directory on the way down to a closed directory, the root included."""
    found: set[bytes] = set()
    for path in closed:
        parent = os.path.dirname(path)
        while parent not in found:
            found.add(parent)
            parent = os.path.dirname(parent)
    return found


def allowed_entries(closed: Sequence[bytes]) -> Iterator[bytes]:
    """Yields everything that lies beside the way down to the closed directories."""
    way = ancestors(closed)
    for directory in way:
        # Below another closed directory there is nothing to allow.
        if any(directory == path or directory.startswith(path + b"/") for path in closed):
            continue
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            entry = os.path.join(directory, name)
            if entry not in way and entry not in closed:
                yield entry


def close_directories(closed: Sequence[bytes]) -> bool:
    """Takes this thread and its descendants the access to the directories; False: no Landlock."""
    abi = landlock_abi()
    if abi < 1 or not closed:
        return False
    handled = HANDLED & ~(REFER if abi < 2 else 0) & ~(TRUNCATE if abi < 3 else 0)
    libc = _libc()
    attribute = handled.to_bytes(8, sys.byteorder)
    ruleset = libc.syscall(_CREATE_RULESET, attribute, _size(len(attribute)), 0)
    if ruleset < 0:
        raise LaunchError(f"Landlock refused the ruleset: {_error()}.")
    for entry in allowed_entries([os.path.realpath(path) for path in closed]):
        _allow(libc, ruleset, entry, handled)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if libc.syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        raise LaunchError(f"Landlock refused the restriction: {_error()}.")
    os.close(ruleset)
    return True


def _allow(libc: ctypes.CDLL, ruleset: int, entry: bytes, handled: int) -> None:
    try:
        descriptor = os.open(entry, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # gone meanwhile, or out of reach for this user anyway
    try:
        kind = os.fstat(descriptor).st_mode & 0o170000
        if kind == 0o120000:
            return  # a symbolic link: what it points to has a rule of its own
        rights = handled if kind == 0o040000 else handled & ON_FILES
        rule = rights.to_bytes(8, sys.byteorder) + descriptor.to_bytes(4, sys.byteorder)
        # A file system without a place in the tree (EBADFD) is never restricted.
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _size(number: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(number)


def _error() -> str:
    return os.strerror(ctypes.get_errno())


def _prctl(option: int, value: int) -> None:
    if _libc().prctl(option, value, 0, 0, 0) != 0:
        raise LaunchError(f"The kernel refused prctl {option}: {_error()}.")


def _die_with(parent: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    # A parent that died before the line above sends no signal any more.
    if os.getppid() != parent:
        os._exit(1)


def _take_terminal() -> None:
    # The runner made this process a session leader; the terminal on 0 becomes its own.
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _reset_signals() -> None:
    for number in signal.valid_signals():
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            continue  # SIGKILL, SIGSTOP
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _forbid_core_dumps() -> None:
    # 1, not 0: a core_pattern that is a pipe ignores the limit but for this value.
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _prepare(spec: Spec) -> None:
    _die_with(spec["parent"])
    _take_terminal()
    _forbid_core_dumps()
    close_directories(spec["closed"])
    _reset_signals()


def _read_spec(descriptor: int) -> Spec:
    with open(descriptor, "rb") as file:
        spec: Spec = marshal.loads(file.read())  # noqa: S302 - our own runner wrote it
    return spec


def main() -> None:
    """Prepares this process as the spec says and becomes the program."""
    status = int(sys.argv[2])
    os.set_inheritable(status, False)
    try:
        spec = _read_spec(int(sys.argv[1]))
        _prepare(spec)
        os.write(status, b"E")
    except Exception as error:
        os.write(status, str(error).encode())
        os._exit(127)
    try:
        os.execve(spec["argv"][0], spec["argv"], spec["environment"])  # noqa: S606 - its purpose
    except OSError as error:
        os.write(status, str(error.errno).encode())
        os._exit(127)


if __name__ == "__main__":
    main()
