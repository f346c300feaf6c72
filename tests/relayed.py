"""A runner's calls through `repobridge-runner relay`, as people in a cluster reach it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc

from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge.tunnel import ByteStream, serve_tunnel

if TYPE_CHECKING:  # the stub file's own name for the asynchronous calls
    from repobridge.session.v1.session_pb2_grpc import SessionServiceAsyncStub


class _Streams:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._input, self._output = process, process.stdin, process.stdout

    async def read(self) -> bytes:
        return await self._output.read(1 << 16)

    async def write(self, data: bytes) -> None:
        self._input.write(data)
        await self._input.drain()

    async def close(self) -> None:
        self._input.close()
        await self._process.wait()


@asynccontextmanager
async def relayed(words: Sequence[str]) -> AsyncIterator[SessionServiceAsyncStub]:
    """The runner's calls; `words` run the relay, once for each connection."""

    async def dial() -> ByteStream:
        pipe = subprocess.PIPE
        return _Streams(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe))

    tunnel = await serve_tunnel(dial)
    try:
        async with grpc.aio.insecure_channel(tunnel.target) as channel:
            yield SessionServiceStub(channel)
    finally:
        await tunnel.close()
