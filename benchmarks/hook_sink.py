"""The least that can receive hooks: HTTP/1.1 with a length, each answered at once with `{}`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

Listener = Callable[[Mapping[str, Any]], None]
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class HookSink:
    """Answers hooks on a loopback port and hands them to `listener`."""

    def __init__(self) -> None:
        self.listener: Listener = lambda _: None
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listens."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stops listening."""
        if self._server is not None:
            self._server.close()


class _Connection(asyncio.Protocol):
    def __init__(self, sink: HookSink) -> None:
        self._sink = sink
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (body := self._next_body()) is not None:
            self._transport.write(_ANSWER)
            self._sink.listener(json.loads(body))

    def _next_body(self) -> bytes | None:
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        _, _, length = head.lower().partition(b"content-length:")
        size = int(length.split(b"\r\n", 1)[0])  # raises for a hook of another kind
        if len(rest) < size:
            return None
        self._received = rest[size:]
        return rest[:size]
