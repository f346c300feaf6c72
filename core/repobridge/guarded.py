"""The guarded front door of a gRPC server: an acceptor that checks, and relays to the server.

grpc.aio shows no peer credentials and adopts no descriptor. So the server binds a socket in a
private directory; its path is removed before the server starts, and from then on only this
process reaches it, through its own descriptor (`make_process_private` keeps others of the same
user from using that). The front door accepts in its place, asks the kernel who is there, and
relays the bytes of whoever may pass.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from repobridge.peers import PeerCheck
from repobridge.relay import relay
from repobridge.telemetry import Logger
from repobridge.unix_socket import BoundSocket, SocketError, accept, bind_private

MAX_CONNECTIONS = 256
"""Further ones wait in the kernel's queue."""
_LINUX = sys.platform.startswith("linux")
_log = Logger(__name__)


class GuardedSocket:
    """Accepts on a private path, checks each peer, and relays to a listener nobody else can use."""

    def __init__(self, *, bound: BoundSocket, inner: InnerSocket, check: PeerCheck) -> None:
        self._bound = bound
        self._inner = inner
        self._check = check
        self._relays: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._accepting = asyncio.create_task(self._accept(), name=f"accept {bound.path}")

    @classmethod
    async def open(cls, path: Path, *, inner_path: Path, check: PeerCheck) -> GuardedSocket:
        """Opens the front door at `path`; raises SocketError.

        Call it after the server has bound `inner_path`, in a directory of mode 0700, and before
        the server starts: who reached the inner socket up to then is found out, and refused with
        the whole server.
        """
        inner = InnerSocket.take(inner_path)
        try:
            bound = bind_private(path)
        except BaseException:
            inner.close()
            raise
        return cls(bound=bound, inner=inner, check=check)

    async def serve(self) -> None:
        """Waits until the door is closed; closes it when cancelled."""
        try:
            await asyncio.shield(self._accepting)
        except asyncio.CancelledError:
            if not self._accepting.cancelled():
                raise
        finally:
            await self.close()

    async def stop_accepting(self) -> None:
        """Removes the path and takes nobody in any more; who is in may stay."""
        self._accepting.cancel()
        await asyncio.wait([self._accepting])
        # Only now: the loop must have let go of the descriptor before it can be another's.
        self._bound.remove()

    async def close(self) -> None:
        """Stops accepting, and cuts every connection; harmless when done twice."""
        await self.stop_accepting()
        for task in self._relays:
            task.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)
        self._inner.close()

    async def _accept(self) -> None:
        while True:
            await self._room.acquire()
            try:
                connection = await accept(self._bound.listener)
            except BaseException:
                self._room.release()
                raise
            task = asyncio.create_task(self._admit(connection), name="guarded connection")
            self._relays.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._relays.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a guarded connection failed", error=str(error))

    async def _admit(self, connection: socket.socket) -> None:
        with connection:
            verdict = self._check(connection)
            if verdict.refusal:
                peer = verdict.peer
                _log.warning(
                    "peer refused",
                    reason=verdict.refusal,
                    pid=peer.pid,
                    uid=peer.uid,
                    process=peer.name,
                )
                return
            with await self._inner.connect() as inner:
                await relay(connection, inner)


class InnerSocket:
    """A listening socket without a path, which this process alone can connect to."""

    def __init__(self, path: str, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> InnerSocket:
        """Removes the path of a listening socket and keeps the way to it; raises SocketError."""
        if not _LINUX:
            return cls(os.fspath(path), None)
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        path.unlink()
        if _sockets_named(path) != 1:
            os.close(descriptor)
            raise SocketError(f"{path}: somebody connected to the inner socket; start again.")
        return cls(f"/proc/self/fd/{descriptor}", descriptor)

    async def connect(self) -> socket.socket:
        """Connects to the listener."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await _connect(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Gives up the way to the listener; harmless when done twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def _connect(connection: socket.socket, path: str) -> None:
    # A full queue at the listener says EAGAIN at once; the loop's own connect doesn't wait for it.
    while True:
        try:
            connection.connect(path)
        except BlockingIOError:
            await asyncio.sleep(0.01)
        else:
            return


def _sockets_named(path: Path) -> int:
    """Counts the sockets bound at a path: the listener, and one for each connection to it."""
    name = os.fsencode(path)
    lines = Path("/proc/net/unix").read_bytes().splitlines()
    return sum(line.split(maxsplit=7)[-1] == name for line in lines)
