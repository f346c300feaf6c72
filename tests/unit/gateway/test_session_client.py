"""The calls to a runner that goes away, against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest

from repobridge.errors import Refusal, Status
from repobridge.session.events import Cursor
from repobridge_gateway.session_client import SessionClient

WAIT_SECONDS = 60


class Silent:
    """A runner that takes calls and never answers."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def call(self, request: bytes, context: object) -> bytes:
        """Takes a call with one answer."""
        return await self._silence()

    async def stream(self, request: bytes, context: object) -> AsyncIterator[bytes]:
        """Takes a call with many answers."""
        yield await self._silence()

    async def _silence(self) -> bytes:
        self.called.set()
        await asyncio.Event().wait()
        return b""


@pytest.fixture
async def silent(tmp_path: Path) -> AsyncIterator[Silent]:
    server = grpc.aio.server()
    runner = Silent()
    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Activity": grpc.unary_unary_rpc_method_handler(runner.call),
        "Subscribe": grpc.unary_stream_rpc_method_handler(runner.stream),
        "Download": grpc.unary_stream_rpc_method_handler(runner.stream),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("repobridge.session.v1.SessionService", methods),)
    )
    server.add_insecure_port(f"unix:{tmp_path}/runner.sock")
    await server.start()
    yield runner
    await server.stop(None)


@pytest.fixture
async def channel(silent: Silent, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/runner.sock") as channel:
        yield channel


async def _activity(client: SessionClient) -> None:
    await client.activity()


async def _subscribe(client: SessionClient) -> None:
    async for _ in client.subscribe(Cursor()):
        pass


async def _download(client: SessionClient) -> None:
    await client.download("a blob")


Call = Callable[[SessionClient], Coroutine[Any, Any, None]]
calls = pytest.mark.parametrize("call", [_activity, _subscribe, _download])


@calls
async def test_a_call_whose_channel_is_closed_is_refused_and_cancels_nobody(
    call: Call, silent: Silent, channel: grpc.aio.Channel
) -> None:
    calling = asyncio.create_task(call(SessionClient(channel)))
    async with asyncio.timeout(WAIT_SECONDS):
        await silent.called.wait()
        await channel.close()
        with pytest.raises(Refusal) as refused:
            await calling
    assert (refused.value.status, refused.value.reason) == (Status.UNAVAILABLE, "UNREACHABLE")


@calls
async def test_a_call_over_a_closed_channel_is_refused(
    call: Call, channel: grpc.aio.Channel
) -> None:
    await channel.close()
    with pytest.raises(Refusal) as refused:
        await call(SessionClient(channel))
    assert (refused.value.status, refused.value.reason) == (Status.UNAVAILABLE, "UNREACHABLE")


@calls
async def test_a_caller_that_is_cancelled_is_cancelled(
    call: Call, silent: Silent, channel: grpc.aio.Channel
) -> None:
    calling = asyncio.create_task(call(SessionClient(channel)))
    async with asyncio.timeout(WAIT_SECONDS):
        await silent.called.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling


@calls
async def test_a_caller_that_runs_out_of_time_is_told_so(
    call: Call, silent: Silent, channel: grpc.aio.Channel
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await call(SessionClient(channel))
