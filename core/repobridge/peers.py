"""Who is at the other end of a unix socket, and whether it may pass.

An agent has the server's own user id, so a file mode keeps nobody out who matters; but the kernel
says which process connected, and nothing that we start leaves our tree (`make_process_private`).

What this does not stop: a process of the same user outside the tree that acts for the agent, such
as a user's systemd or a terminal multiplexer that runs what it is told. A pod has neither.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass

from repobridge.errors import RepoBridgeError
from repobridge.process import Process, read_process

_LINUX = sys.platform.startswith("linux")
_SO_PEERPIDFD = 77
_TRIES = 5
_GONE = "gone, or its ancestors can't be read"


@dataclass(frozen=True)
class Peer:
    """Who connected, as the kernel says."""

    pid: int
    uid: int
    name: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a peer may pass; `refusal` is empty when it may, else why not."""

    peer: Peer
    refusal: str = ""


PeerCheck = Callable[[socket.socket], Verdict]


def outside_of(guard_root: int) -> PeerCheck:
    """Returns the check that keeps out what descends from `guard_root` or from this process.

    Only Linux tells who descends from whom; elsewhere the socket's mode is all there is.
    """
    return OutsideOf(guard_root) if _LINUX else this_user


class OutsideOf:
    """Lets this user's processes pass unless they descend from `guard_root` or from this process.

    The guard root itself passes. When it has ended, nobody passes any more: its orphans now
    descend from somebody else and could not be told from strangers.
    """

    def __init__(self, guard_root: int) -> None:
        self._uid = os.geteuid()
        self._root = _must_exist(guard_root)
        self._self = _must_exist(os.getpid())

    def __call__(self, connection: socket.socket) -> Verdict:
        """Judges the process that made the connection."""
        peer = credentials(connection)
        if peer.uid != self._uid:
            return Verdict(peer, "another user")
        try:
            pidfd = _peer_pidfd(connection)
        except ProcessLookupError:
            return Verdict(peer, _GONE)
        try:
            chain = _ancestry(peer.pid)
            # Alive after the look: then the pid was its own all the while.
            if not chain or (pidfd is not None and _has_ended(pidfd)):
                return Verdict(peer, _GONE)
        finally:
            if pidfd is not None:
                os.close(pidfd)
        return Verdict(Peer(peer.pid, peer.uid, chain[0].name), self._judge(chain))

    def _judge(self, chain: list[Process]) -> str:
        root = read_process(self._root.pid)
        if root is None or root.start_time != self._root.start_time or root.is_zombie:
            return "the guarded process has ended"
        above = {process.pid for process in chain[1:]}
        if self._root.pid in above and chain[0].pid != self._self.pid:
            return "descends from the guarded process"
        if self._self.pid in above:
            return "descends from this process"
        return ""


def only_this_process(connection: socket.socket) -> Verdict:
    """Lets only this very process pass."""
    peer = credentials(connection)
    return Verdict(peer, "" if peer.pid == os.getpid() else "another process")


def this_user(connection: socket.socket) -> Verdict:
    """Lets every process of this user pass."""
    peer = credentials(connection)
    return Verdict(peer, "" if peer.uid == os.geteuid() else "another user")


def credentials(connection: socket.socket) -> Peer:
    """Returns who connected; outside Linux only what the file mode proves: this user."""
    if not _LINUX:
        return Peer(pid=os.getpid(), uid=os.geteuid())
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _ = struct.unpack("3i", data)
    return Peer(pid=pid, uid=uid)


def _must_exist(pid: int) -> Process:
    process = read_process(pid)
    if process is None:
        raise RepoBridgeError(f"There is no process {pid}.")
    return process


def _peer_pidfd(connection: socket.socket) -> int | None:
    """Returns a descriptor of the peer's process, or None before Linux 6.5.

    Without it a pid that came back as a stranger's within the microseconds since the connection
    can't be told. Raises ProcessLookupError when the peer has ended.
    """
    try:
        return connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        if error.errno in {errno.ENOPROTOOPT, errno.EOPNOTSUPP}:
            return None
        raise ProcessLookupError(error.errno, "the peer has ended") from error


def _has_ended(pidfd: int) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def _ancestry(pid: int) -> list[Process]:
    """Returns a living process and everything above it; empty when it is gone.

    Read twice until both agree: in between a parent may die, its child move to another and its
    pid come back as a stranger's.
    """
    for _ in range(_TRIES):
        first, second = _walk(pid), _walk(pid)
        if first and _links(first) == _links(second):
            return second
    return []


def _walk(pid: int) -> list[Process]:
    chain: list[Process] = []
    while pid > 0:
        process = read_process(pid)
        if process is None:
            return []
        chain.append(process)
        pid = process.parent
    return [] if chain and chain[0].is_zombie else chain


def _links(chain: list[Process]) -> list[tuple[int, int, int]]:
    return [(process.pid, process.start_time, process.parent) for process in chain]
