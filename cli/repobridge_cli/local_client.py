"""The way to a running `serve`: repobridge.local.v1 over its socket, as plain values."""

from __future__ import annotations

import os
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import grpc

from repobridge.errors import Refusal, RepoBridgeError
from repobridge.local.v1 import local_pb2 as pb
from repobridge.local.v1.local_pb2_grpc import LocalServiceStub
from repobridge.session import codec
from repobridge.session.events import Actor, MessageStatus
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2
from repobridge.tunnel import serve_tunnel
from repobridge_gateway import places
from repobridge_gateway.follow import Item, Live
from repobridge_gateway.notices import GatewayNotice, NoticeCode
from repobridge_gateway.router import Routed
from repobridge_gateway.session_client import CHANNEL_OPTIONS, SessionClient
from repobridge_gateway.session_values import Decision

if TYPE_CHECKING:
    from repobridge.local.v1.local_pb2_grpc import LocalServiceAsyncStub

_SUBMIT_SECONDS = 120.0
"""A sleeping bridge has to wake first."""
_CALL_SECONDS = 10.0
_READY_SECONDS = 5.0


class NotServing(RepoBridgeError):
    """No `serve` can be reached; the message says how to start one."""


class LocalClient:
    """A connection to `serve`; make it with `connected`."""

    def __init__(self, stub: LocalServiceAsyncStub, stack: AsyncExitStack, path: Path) -> None:
        self._stub = stub
        self._stack = stack
        self._path = path
        self._tunnels: dict[str, grpc.aio.Channel] = {}

    async def names(self) -> list[str]:
        """The bridges that are served."""
        try:
            response = await self._stub.List(pb.ListRequest(), timeout=_CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        return [bridge.name for bridge in response.bridges]

    async def wake(self, name: str) -> AsyncIterator[str]:
        """Wakes a bridge, telling how that goes; raises NotServing where it fails."""
        call = self._stub.Wake(pb.WakeRequest(name=name))
        try:
            async for progress in call:
                if progress.phase == pb.BRIDGE_PHASE_FAILED:
                    raise NotServing(progress.detail)
                if progress.phase == pb.BRIDGE_PHASE_WAKING:
                    yield f"waking {name} …"
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        finally:
            call.cancel()

    async def submit(
        self, name: str, conversation_id: str, *, message_id: str, text: str, author: Actor
    ) -> Routed:
        """Sends a message through the gateway's router."""
        request = pb.SubmitRequest(
            name=name,
            conversation_id=conversation_id,
            message_id=message_id,
            text=text,
            author=codec.to_pb(author, session_pb2.Actor),
        )
        try:
            answer = await self._stub.Submit(request, timeout=_SUBMIT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        status = answer.HasField("status")
        return Routed(
            status=codec.from_pb(MessageStatus, answer.status) if status else None,
            reply=answer.reply,
        )

    async def follow(self, name: str, conversation_id: str) -> AsyncIterator[Item]:
        """What happens from now on."""
        request = pb.FollowRequest(name=name, conversation_id=conversation_id, from_now=True)
        call = self._stub.Follow(request)
        try:
            async for message in call:
                item = _item(message)
                if item is not None:
                    yield item
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        finally:
            call.cancel()

    async def channel(self, name: str) -> grpc.aio.Channel:
        """A channel to a bridge's runner, through `serve`; connects, and wakes, when it is used."""
        if name not in self._tunnels:

            async def dial() -> _DialledStream:
                call = self._stub.Dial()
                await call.write(pb.DialRequest(name=name))
                return _DialledStream(call)

            tunnel = await serve_tunnel(dial)
            self._stack.push_async_callback(tunnel.close)
            channel = grpc.aio.insecure_channel(tunnel.target, options=CHANNEL_OPTIONS)
            self._stack.push_async_callback(channel.close)
            self._tunnels[name] = channel
        return self._tunnels[name]

    def _translated(self, error: grpc.aio.AioRpcError) -> RepoBridgeError:
        refusal = from_rpc_error(error)
        if refusal.reason == "UNREACHABLE":
            return NotServing(f"The connection to serve at {self._path} was closed.")
        return refusal


class _DialledStream:
    """Bytes over a Dial call."""

    def __init__(self, call: grpc.aio.StreamStreamCall[pb.DialRequest, pb.DialResponse]) -> None:
        self._call = call

    async def read(self) -> bytes:
        """The next bytes."""
        message = await self._call.read()
        return message.data if isinstance(message, pb.DialResponse) else b""

    async def write(self, data: bytes) -> None:
        """Sends bytes."""
        await self._call.write(pb.DialRequest(data=data))

    async def close(self) -> None:
        """Ends both directions."""
        self._call.cancel()


class RemotePeer:
    """A session of a running `serve`, for a conversation at this terminal."""

    def __init__(self, client: LocalClient, name: str, conversation_id: str, me: Actor) -> None:
        self._client = client
        self._name = name
        self._conversation = conversation_id
        self._me = me

    def follow(self) -> AsyncIterator[Item]:
        """What happens from now on."""
        return self._client.follow(self._name, self._conversation)

    async def submit(self, message_id: str, text: str) -> Routed:
        """Sends a message."""
        return await self._client.submit(
            self._name, self._conversation, message_id=message_id, text=text, author=self._me
        )

    async def decide(self, decision: Decision) -> None:
        """Answers a request."""
        await (await self._session()).decide(decision)

    async def interrupt(self) -> bool:
        """Ends the running turn."""
        return (await (await self._session()).interrupt(self._conversation, self._me)).changed

    async def fetch(self, blob_id: str) -> bytes:
        """The content of a blob."""
        return await (await self._session()).download(blob_id)

    async def _session(self) -> SessionClient:
        return SessionClient(await self._client.channel(self._name))


@asynccontextmanager
async def connected(socket: str) -> AsyncIterator[LocalClient]:
    """Connects to the `serve` at a path, or at the usual place; raises NotServing."""
    path = _socket_path(socket)
    _must_listen(path)
    async with AsyncExitStack() as stack:
        channel = grpc.aio.insecure_channel(f"unix:{quote(str(path))}", options=CHANNEL_OPTIONS)
        stack.push_async_callback(channel.close)
        yield LocalClient(LocalServiceStub(channel), stack, path)


async def known(client: LocalClient, name: str) -> None:
    """Makes sure that `serve` has a bridge of that name; raises NotServing or a Refusal."""
    names = await client.names()
    if name not in names:
        raise NotServing(f'serve has no repo "{name}"; it has: {", ".join(names)}.')


def _socket_path(socket: str) -> Path:
    return Path(socket).absolute() if socket else places.serve_socket(os.environ)


def _must_listen(path: Path) -> None:
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(_READY_SECONDS)
        try:
            probe.connect(os.fspath(path))
        except OSError as error:
            raise NotServing(
                f"repobridge serve does not run (nothing listens at {path}); "
                "start it with: repobridge serve --config FILE"
            ) from error


def _item(message: pb.FollowEvent) -> Item | None:
    kind = message.WhichOneof("kind")
    if kind == "event":
        return codec.event_from_pb(message.event)
    if kind == "live":
        return Live()
    if kind != "notice":
        return None
    notice = message.notice
    try:
        code = NoticeCode(notice.code)
    except ValueError:  # of a newer serve: its text says it
        code = NoticeCode.COMMAND
    return GatewayNotice(
        code=code,
        text=notice.text,
        message_id=notice.message_id,
        author=codec.from_pb(Actor, notice.author) if notice.HasField("author") else None,
    )


__all__ = ["LocalClient", "NotServing", "Refusal", "RemotePeer", "connected", "known"]
