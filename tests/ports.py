"""Ports for servers that must be told theirs before they listen."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 20_000


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens at.

    It is none of those that the kernel gives to whoever connects, or listens without a wish: one of
    these would soon be another test's.
    """
    end = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32_768
    while True:
        port = random.SystemRandom().randrange(_LOWEST, max(end, _LOWEST + 1000))
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
