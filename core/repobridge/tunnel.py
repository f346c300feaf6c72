"""A private unix socket whose connections go through a stream of bytes that somebody else dials.

grpc can't speak over a stream of ours; it can dial a unix socket. So a tunnel listens on one that
only this process may use, and relays each connection to a stream of its own: another gRPC call,
or the standard streams of a `kubectl exec`.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from repobridge.peers import only_this_process
from repobridge.telemetry import Logger
from repobridge.unix_socket import BoundSocket, accept, bind_private

_READ_BYTES = 64 * 1024
_log = Logger(__name__)


class ByteStream(Protocol):
    """Bytes both ways."""

    async def read(self) -> bytes:
        """Returns the next bytes; b"" at the end."""

    async def write(self, data: bytes) -> None:
        """Sends bytes, waiting while the other side has no room."""

    async def close(self) -> None:
        """Ends both directions; a read that waits returns b"" or raises."""


Dial = Callable[[], Awaitable[ByteStream]]


class LocalTunnel:
    """A running tunnel; make it with `serve_tunnel`."""

    def __init__(self, *, directory: Path, bound: BoundSocket, dial: Dial) -> None:
        self.target = f"unix:{bound.path}"
        """What a gRPC channel of this process dials."""
        self._directory = directory
        self._bound = bound
        self._dial = dial
        self._connections: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept(), name="tunnel")

    async def close(self) -> None:
        """Cuts every connection and removes the socket."""
        tasks = [self._accepting, *self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._bound.remove()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _accept(self) -> None:
        while True:
            connection = await accept(self._bound.listener)
            task = asyncio.create_task(self._serve(connection), name="tunnel connection")
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket) -> None:
        with connection:
            verdict = only_this_process(connection)
            if verdict.refusal:
                _log.warning("peer refused", reason=verdict.refusal, pid=verdict.peer.pid)
                return
            try:
                stream = await self._dial()
            except Exception as error:
                # The channel sees a closed connection and dials again in its own time.
                _log.warning("tunnel could not be dialled", error=str(error))
                return
            try:
                await _relay(connection, stream)
            finally:
                await stream.close()


async def serve_tunnel(dial: Dial) -> LocalTunnel:
    """Opens a tunnel; each connection of this process dials a stream of its own."""
    directory = Path(tempfile.mkdtemp(prefix="repobridge-"))
    try:
        bound = bind_private(directory / "tunnel")
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return LocalTunnel(directory=directory, bound=bound, dial=dial)


async def _relay(connection: socket.socket, stream: ByteStream) -> None:
    """Relays until either side ends: a stream has no half-close."""
    ways = {
        asyncio.create_task(_upstream(connection, stream)),
        asyncio.create_task(_downstream(connection, stream)),
    }
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    for way in done:
        if not way.cancelled() and (error := way.exception()) is not None:
            _log.debug("tunnel connection ended", error=str(error))


async def _upstream(connection: socket.socket, stream: ByteStream) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(connection, _READ_BYTES):
        await stream.write(data)


async def _downstream(connection: socket.socket, stream: ByteStream) -> None:
    loop = asyncio.get_running_loop()
    while data := await stream.read():
        await loop.sock_sendall(connection, data)
