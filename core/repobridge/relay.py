"""Bytes both ways between two sockets, with back-pressure and half-close, in bounded memory."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

BUFFER_BYTES = 256 * 1024
"""How much may wait for a slow side before the other is no longer read."""


async def relay(one: socket.socket, other: socket.socket) -> None:
    """Relays between two connected sockets until both directions are over; closes both."""
    loop = asyncio.get_running_loop()
    left, right = _Side(), _Side()
    left.peer, right.peer = right, left
    try:
        # The second side must stand before the first may read.
        await loop.create_connection(lambda: right, sock=other)
        await loop.create_connection(lambda: left, sock=one)
        right.transport.resume_reading()
        await asyncio.gather(left.lost, right.lost)
    finally:
        left.abort()
        right.abort()
        one.close()
        other.close()


class _Side(asyncio.Protocol):
    peer: _Side
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._at_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        if not hasattr(self.peer, "transport"):
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self._at_end = True
        if self.peer._at_end:
            # Both have said all they had: what still waits is sent, then both close.
            self.peer.transport.close()
            return False
        if self.peer.transport.can_write_eof():
            self.peer.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        if hasattr(self.peer, "transport"):
            self.peer.transport.close()

    def abort(self) -> None:
        if hasattr(self, "transport"):
            self.transport.abort()
