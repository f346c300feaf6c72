"""`repobridge.local.v1` on the serving process's own socket: the edge to `chat` and `attach`.

The socket refuses what descends from this process, so that an agent can't decide its own requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc

from repobridge.errors import Refusal, Status
from repobridge.guarded import GuardedSocket
from repobridge.local.v1 import local_pb2 as pb
from repobridge.local.v1.local_pb2_grpc import (
    LocalServiceServicer,
    add_LocalServiceServicer_to_server,
)
from repobridge.peers import PeerCheck, outside_of
from repobridge.session import codec
from repobridge.session.events import MAIN_CONVERSATION, Actor, Cursor, Event
from repobridge.session.refusals import status_code, trailing_metadata
from repobridge.session.v1 import session_pb2
from repobridge_gateway.fleet.local import LocalFleet
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus
from repobridge_gateway.follow import Item, follow
from repobridge_gateway.notices import GatewayNotice
from repobridge_gateway.router import Incoming, Router

_READ_BYTES = 64 * 1024
_LARGEST_MESSAGE_BYTES = 4 << 20
_STOP_SECONDS = 1.0
_Context = Any


async def _abort(context: _Context, refusal: Refusal) -> None:
    await context.abort(status_code(refusal), refusal.message, trailing_metadata(refusal))


class _LocalService(LocalServiceServicer):
    def __init__(self, fleet: LocalFleet, router: Router) -> None:
        self._fleet = fleet
        self._router = router

    async def List(self, request: pb.ListRequest, context: _Context) -> pb.ListResponse:
        response = pb.ListResponse()
        for bridge in self._fleet.bridges.values():
            status = bridge.status.value
            response.bridges.add(
                name=bridge.spec.name,
                uid=bridge.uid,
                provider=bridge.spec.provider,
                working_dir=str(bridge.spec.working_dir),
                phase=_phase(status.phase),
                reason=status.reason,
            )
        return response

    async def Wake(
        self, request: pb.WakeRequest, context: _Context
    ) -> AsyncIterator[pb.WakeProgress]:
        try:
            bridge = self._fleet.bridge(request.name)
            waking = asyncio.create_task(bridge.awake())
            try:
                async for status in _changes(bridge.status.value, bridge.status.changed, waking):
                    yield pb.WakeProgress(phase=_phase(status.phase), detail=status.reason)
                await waking
                yield pb.WakeProgress(phase=_phase(BridgePhase.READY))
            finally:
                waking.cancel()
        except Refusal as refusal:
            if refusal.reason != "WAKE_FAILED":
                await _abort(context, refusal)
            yield pb.WakeProgress(phase=_phase(BridgePhase.FAILED), detail=refusal.message)

    async def Submit(self, request: pb.SubmitRequest, context: _Context) -> pb.SubmitResponse:
        response = pb.SubmitResponse()
        try:
            routed = await self._router.route(_incoming(request))
        except Refusal as refusal:
            await _abort(context, refusal)
            return response
        response.reply = routed.reply
        if routed.status:
            response.status.CopyFrom(codec.to_pb(routed.status, session_pb2.MessageStatus))
        return response

    async def Follow(
        self, request: pb.FollowRequest, context: _Context
    ) -> AsyncIterator[pb.FollowEvent]:
        after = None if request.from_now else Cursor(request.after.log_id, request.after.sequence)
        try:
            bridge = self._fleet.bridge(request.name)
            conversation = request.conversation_id or MAIN_CONVERSATION
            async for item in follow(bridge, conversation, after=after):
                yield _follow_event(item)
        except Refusal as refusal:
            await _abort(context, refusal)

    async def Dial(
        self, request_iterator: AsyncIterator[pb.DialRequest], context: _Context
    ) -> AsyncIterator[pb.DialResponse]:
        try:
            first = await anext(aiter(request_iterator))
            bridge = self._fleet.bridge(first.name)
            await bridge.awake()
            reader, writer = await asyncio.open_unix_connection(bridge.socket)
        except Refusal as refusal:
            await _abort(context, refusal)
            return
        except (OSError, StopAsyncIteration):
            await _abort(context, Refusal(Status.UNAVAILABLE, "UNREACHABLE", "The runner is gone."))
            return
        upstream = asyncio.create_task(_upstream(request_iterator, writer))
        try:
            while data := await reader.read(_READ_BYTES):
                yield pb.DialResponse(data=data)
        except ConnectionError:
            pass
        finally:
            upstream.cancel()
            await asyncio.gather(upstream, return_exceptions=True)
            writer.transport.abort()


class LocalServer:
    """The listening server; make it with `open_local_server`."""

    def __init__(self, server: grpc.aio.Server, guard: GuardedSocket, directory: Path) -> None:
        self._server = server
        self._guard = guard
        self._directory = directory

    async def stop_accepting(self) -> None:
        """Lets nobody new in; who is connected stays."""
        await self._guard.stop_accepting()

    async def close(self) -> None:
        """Ends every call and removes the socket."""
        await self._server.stop(_STOP_SECONDS)
        await self._guard.close()
        shutil.rmtree(self._directory, ignore_errors=True)


async def open_local_server(
    path: Path, *, fleet: LocalFleet, router: Router, check: PeerCheck | None = None
) -> LocalServer:
    """Listens at `path`; raises SocketError where that can't be, as when another serve does."""
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        )
    )
    add_LocalServiceServicer_to_server(_LocalService(fleet, router), server)
    directory = Path(tempfile.mkdtemp(prefix="repobridge-"))
    try:
        inner = directory / "local"
        server.add_insecure_port(f"unix:{quote(str(inner))}")
        guard = await GuardedSocket.open(
            path, inner_path=inner, check=check or outside_of(os.getpid())
        )
        with contextlib.suppress(OSError):
            os.rmdir(directory)  # empty now, where the inner socket needs no path any more
        await server.start()
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return LocalServer(server, guard, directory)


def _incoming(request: pb.SubmitRequest) -> Incoming:
    if not request.message_id:
        text = "A message needs a message_id."
        raise Refusal(Status.INVALID_ARGUMENT, "MISSING_MESSAGE_ID", text)
    return Incoming(
        bridge=request.name,
        conversation_id=request.conversation_id or MAIN_CONVERSATION,
        message_id=request.message_id,
        text=request.text,
        author=codec.from_pb(Actor, request.author),
    )


async def _changes(
    first: BridgeStatus,
    changed: Callable[[], Awaitable[BridgeStatus]],
    until: asyncio.Task[Any],
) -> AsyncIterator[BridgeStatus]:
    """The statuses that a bridge goes through until a task is done."""
    status = first
    while not until.done():
        if status.phase not in {BridgePhase.READY, BridgePhase.FAILED}:
            yield status
        change = asyncio.ensure_future(changed())
        try:
            await asyncio.wait({change, until}, return_when=asyncio.FIRST_COMPLETED)
            if change.done():
                status = change.result()
        finally:
            change.cancel()


async def _upstream(requests: AsyncIterator[pb.DialRequest], writer: asyncio.StreamWriter) -> None:
    try:
        async for request in requests:
            writer.write(request.data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except ConnectionError:
        pass


def _follow_event(item: Item) -> pb.FollowEvent:
    if isinstance(item, Event):
        return pb.FollowEvent(event=codec.event_to_pb(item))
    if isinstance(item, GatewayNotice):
        notice = pb.GatewayNotice(code=item.code.value, text=item.text, message_id=item.message_id)
        if item.author:
            notice.author.CopyFrom(codec.to_pb(item.author, session_pb2.Actor))
        return pb.FollowEvent(notice=notice)
    return pb.FollowEvent(live=True)


def _phase(phase: BridgePhase) -> pb.BridgePhase.ValueType:
    return pb.BridgePhase.Value(f"BRIDGE_PHASE_{phase.name}")
