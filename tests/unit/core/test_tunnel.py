"""A gRPC channel works through a tunnel, and nobody but this process may use it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from repobridge.tunnel import ByteStream, serve_tunnel

KNOCK = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\n")
print(s.recv(9))
"""


class SocketStream:
    """A stream over a unix socket, as a gRPC call or a `kubectl exec` would be one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.closed = False

    async def read(self) -> bytes:
        return await self._reader.read(1000)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self.closed = True
        self._writer.close()


class Far:
    """A health server, and the streams that were dialled to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), self.server)
        self.server.add_insecure_port(f"unix:{path}")
        self.streams: list[SocketStream] = []

    async def dial(self) -> ByteStream:
        stream = SocketStream(*await asyncio.open_unix_connection(str(self.path)))
        self.streams.append(stream)
        return stream


@pytest.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    far = Far(tmp_path / "far")
    await far.server.start()
    yield far
    await far.server.stop(0)


async def check_health(target: str, *, wait: bool = True) -> int:
    async with grpc.aio.insecure_channel(target) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=wait
        )
        return int(answer.status)


async def test_a_channel_works_through_the_dialled_stream(far: Far) -> None:
    tunnel = await serve_tunnel(far.dial)

    assert await check_health(tunnel.target) == 1

    await tunnel.close()
    assert [stream.closed for stream in far.streams] == [True]


async def test_another_process_gets_nothing(far: Far) -> None:
    tunnel = await serve_tunnel(far.dial)

    path = tunnel.target.removeprefix("unix:")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", KNOCK, path, stdout=subprocess.PIPE
    )
    out, _ = await child.communicate()

    assert (out.strip() in {b"b''", b""}, far.streams) == (True, [])
    await tunnel.close()


async def test_a_dial_that_fails_leaves_the_tunnel_open_for_the_next(far: Far) -> None:
    failures = [ConnectionError("not yet")]

    async def dial() -> ByteStream:
        if failures:
            raise failures.pop()
        return await far.dial()

    tunnel = await serve_tunnel(dial)

    assert await check_health(tunnel.target) == 1
    await tunnel.close()


async def test_the_end_of_the_far_side_reaches_the_channel(far: Far) -> None:
    tunnel = await serve_tunnel(far.dial)
    assert await check_health(tunnel.target) == 1
    await far.server.stop(0)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await check_health(tunnel.target, wait=False)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await tunnel.close()


async def test_closing_leaves_no_socket_behind(far: Far) -> None:
    tunnel = await serve_tunnel(far.dial)
    path = Path(tunnel.target.removeprefix("unix:"))
    assert path.is_socket()

    await tunnel.close()

    assert not path.parent.exists()
