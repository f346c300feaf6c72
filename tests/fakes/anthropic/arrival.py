"""Waits until the other end of a loopback connection has read what was sent.

A TCP reset may overtake bytes that wait unread at the other end; only Linux's table of sockets
tells when none do. Elsewhere there is no way to know, and the reset comes at once.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_POLL_SECONDS = 0.002


async def until_read(sock: socket.socket, *, timeout: float = 20.0) -> None:
    """Return when nothing is unread at the peer, or after the timeout."""
    own, peer = _hex_address(sock.getsockname()), _hex_address(sock.getpeername())
    try:
        async with asyncio.timeout(timeout):
            while _is_unread(own, peer) or _is_unread(peer, own):
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        return


def _is_unread(local: str, remote: str) -> bool:
    """Whether the connection, seen from one end, still has bytes to send or to read."""
    if not _TABLE.exists():
        return False
    for line in _TABLE.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == [local, remote]:
            return any(int(queue, 16) for queue in fields[4].split(":"))
    return False


def _hex_address(address: tuple[str, int]) -> str:
    """127.0.0.1:80 as the kernel writes it: 0100007F:0050."""
    host = socket.inet_aton(address[0])[::-1].hex().upper()
    return f"{host}:{address[1]:04X}"
