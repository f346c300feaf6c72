"""Brings a reply onto the wire: paced by gates, cut by a chunker, broken off where told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable

from aiohttp import web

from tests.fakes.anthropic.arrival import until_read
from tests.fakes.anthropic.chunking import Chunker
from tests.fakes.anthropic.gate import Gate, Hold, Pause
from tests.fakes.anthropic.replies import Message, Reset, Text
from tests.fakes.anthropic.sse import Envelope, message_json, stream_end, stream_steps

_LINGER_ZERO = struct.pack("ii", 1, 0)


class Cut(Exception):
    """The reply ends here on purpose."""


class Sink:
    """The body of one response; counts bytes and stops at a limit."""

    def __init__(
        self, response: web.StreamResponse, chunker: Chunker, *, limit: int | None = None
    ) -> None:
        self._response = response
        self._chunker = chunker
        self._left = limit

    async def write(self, data: bytes) -> None:
        """Write in the chunker's pieces; raise Cut once the limit is reached."""
        for piece in self._chunker.feed(data):
            await self._put(piece)

    async def flush(self) -> None:
        """Write what the chunker held back."""
        if held := self._chunker.flush():
            await self._put(held)

    async def _put(self, piece: bytes) -> None:
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        if piece:
            await self._response.write(piece)
            # Lets the transport send, so that pieces do not merge in one segment.
            await asyncio.sleep(0)
        if self._left == 0:
            raise Cut


async def stream(sink: Sink, message: Message, envelope: Envelope, *, complete: bool) -> None:
    """Send the events of an answer; without `complete` its last block stays open."""
    for step in stream_steps(message, envelope):
        if isinstance(step, bytes):
            await sink.write(step)
        else:
            await sink.flush()
            await step.pass_through()
    if complete:
        for data in stream_end(message, envelope):
            await sink.write(data)
    await sink.flush()


async def document(sink: Sink, message: Message, envelope: Envelope) -> None:
    """Send the answer as JSON, after all its holds."""
    for hold in holds_of(message):
        await hold.pass_through()
    await sink.write(message_json(message, envelope))
    await sink.flush()


def holds_of(message: Message) -> Iterable[Hold]:
    """Every hold of an answer, in order."""
    for block in message.blocks:
        if isinstance(block, Gate | Pause):
            yield block
        elif isinstance(block, Text):
            yield from (step for step in block.steps if not isinstance(step, str))


async def break_off(request: web.Request, reset: Reset) -> None:
    """End the connection, once what was sent is read: by a TCP reset, or politely but too early."""
    transport = request.transport
    if transport is None:
        return
    if reset.graceful:
        transport.close()
        return
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is not None:
        await until_read(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
