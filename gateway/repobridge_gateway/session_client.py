"""A runner's calls as plain values: the edge of the gateway at which its protobuf stops.

Every call but a subscription has a deadline; a failed call raises a Refusal.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from repobridge.idle import Activity
from repobridge.session import codec
from repobridge.session.calls import CALL_SECONDS, RunnerCalls
from repobridge.session.events import (
    Actor,
    Cursor,
    Event,
    InterruptCause,
    MessageStatus,
)
from repobridge.session.refusals import failures_as_refusals
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge_gateway.session_values import (
    Changes,
    Controlled,
    Decision,
    RunnerInfo,
    SessionInfo,
    Sessions,
    Submission,
    Submitted,
    Upload,
)

CONTROL_SECONDS = 30.0
"""A restart ends a process and starts it again."""
LARGEST_MESSAGE_BYTES = 4 << 20
CHANNEL_OPTIONS = (
    # A runner that just started is dialled again at once, not after gRPC's usual seconds.
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 200),
    # How long one attempt may take: behind a tunnel a bridge may have to wake first.
    ("grpc.min_reconnect_backoff_ms", 60_000),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
    # A channel of its own: a pooled one could hand over a connection to a socket that is gone.
    ("grpc.use_local_subchannel_pool", 1),
)
_CHUNK_BYTES = 256 << 10
T = TypeVar("T")


class SessionClient:
    """The calls to one runner, over a channel that somebody else closes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = SessionServiceStub(channel)
        self._runner = RunnerCalls(channel, call_seconds=CALL_SECONDS)

    async def submit(self, submission: Submission) -> Submitted:
        """Makes a message durable in the runner; idempotent by its id."""
        request = codec.to_pb(submission, pb.SubmitRequest)
        answer = await _call(self._stub.Submit, request, seconds=CALL_SECONDS)
        status = codec.from_pb(MessageStatus, answer.status)
        return Submitted(status=status, duplicate=answer.duplicate)

    async def amend(self, message_id: str, text: str) -> MessageStatus:
        """Gives a message that is still queued another text."""
        request = pb.AmendRequest(message_id=message_id, text=text)
        answer = await _call(self._stub.Amend, request, seconds=CALL_SECONDS)
        return codec.from_pb(MessageStatus, answer)

    async def upload(
        self, conversation_id: str, message_id: str, attachment_id: str, file: Upload
    ) -> None:
        """Brings a file to the session, before the message that names it; once is enough."""
        header = pb.UploadHeader(
            conversation_id=conversation_id,
            message_id=message_id,
            attachment_id=attachment_id,
            name=file.name,
            media_type=file.media_type,
            sha256=hashlib.sha256(file.data).hexdigest(),
            size=len(file.data),
        )

        async def parts() -> AsyncIterator[pb.UploadRequest]:
            yield pb.UploadRequest(header=header)
            for start in range(0, len(file.data), _CHUNK_BYTES):
                yield pb.UploadRequest(chunk=file.data[start : start + _CHUNK_BYTES])

        with failures_as_refusals():
            await self._stub.Upload(parts(), timeout=CONTROL_SECONDS)

    async def ack(self, cursor: Cursor, *, consumer: str = "gateway") -> None:
        """Says what of the log is safely delivered, and that somebody keeps count of it."""
        request = pb.AckRequest(consumer=consumer, cursor=codec.to_pb(cursor, pb.Cursor))
        await _call(self._stub.Ack, request, seconds=CALL_SECONDS)

    async def withdraw(self, message_id: str) -> MessageStatus:
        """Takes a message back that is still queued."""
        request = pb.WithdrawRequest(message_id=message_id)
        answer = await _call(self._stub.Withdraw, request, seconds=CALL_SECONDS)
        return codec.from_pb(MessageStatus, answer)

    async def decide(self, decision: Decision) -> None:
        """Answers a request; the first answer wins, others are refused."""
        request = codec.to_pb(decision, pb.DecideRequest)
        await _call(self._stub.Decide, request, seconds=CALL_SECONDS)

    async def interrupt(
        self, conversation_id: str, actor: Actor, cause: InterruptCause = InterruptCause.USER
    ) -> Controlled:
        """Ends the running turn."""
        request = _control(conversation_id, actor)
        request.interrupt.cause = cause.value  # type: ignore[assignment]
        return await self._control(request)

    async def restart(self, conversation_id: str, actor: Actor) -> Controlled:
        """Ends the agent's process and resumes its session."""
        request = _control(conversation_id, actor)
        request.restart.SetInParent()
        return await self._control(request)

    async def clear(self, conversation_id: str, actor: Actor) -> Controlled:
        """Begins an empty session."""
        request = _control(conversation_id, actor)
        request.clear.SetInParent()
        return await self._control(request)

    async def set_model(self, conversation_id: str, actor: Actor, model: str) -> Controlled:
        """Changes the model, once the running turn is over."""
        request = _control(conversation_id, actor)
        request.set_model.model = model
        return await self._control(request)

    async def set_mode(self, conversation_id: str, actor: Actor, mode: str) -> Controlled:
        """Changes the permission mode, likewise."""
        request = _control(conversation_id, actor)
        request.set_mode.permission_mode = mode
        return await self._control(request)

    async def fork(self, conversation_id: str, actor: Actor, new: str) -> Controlled:
        """Begins another conversation with a copy of what this one remembers."""
        request = _control(conversation_id, actor)
        request.fork.new_conversation_id = new
        return await self._control(request)

    async def diff(self, conversation_id: str) -> Changes:
        """What a conversation has changed in its working tree."""
        request = pb.DiffRequest(conversation_id=conversation_id)
        answer = await _call(self._stub.Diff, request, seconds=CONTROL_SECONDS)
        return codec.from_pb(Changes, answer)

    async def _control(self, request: pb.ControlRequest) -> Controlled:
        answer = await _call(self._stub.Control, request, seconds=CONTROL_SECONDS)
        return codec.from_pb(Controlled, answer)

    async def sessions(self) -> Sessions:
        """Everything that runs there now."""
        request = pb.ListSessionsRequest()
        answer = await _call(self._stub.ListSessions, request, seconds=CALL_SECONDS)
        return Sessions(
            sessions=tuple(codec.from_pb(SessionInfo, each) for each in answer.sessions),
            runner=codec.from_pb(RunnerInfo, answer.runner),
        )

    async def activity(self, *, terminal_idle_seconds: float = 0.0) -> Activity:
        """Whether the runner is idle."""
        return await self._runner.activity(terminal_idle_seconds=terminal_idle_seconds)

    async def drain(
        self, drain_id: str, *, after_turn: bool = False, terminal_idle_seconds: float = 0.0
    ) -> bool:
        """Asks for permission to stop the runner; True when it was given (for 30 seconds)."""
        answer = await self._runner.drain(
            drain_id, after_turn=after_turn, terminal_idle_seconds=terminal_idle_seconds
        )
        return answer.is_granted

    async def subscribe(
        self, after: Cursor, *, conversation_ids: tuple[str, ...] = ()
    ) -> AsyncIterator[Event]:
        """Events after a cursor: the stored ones, then those that happen."""
        request = pb.SubscribeRequest(
            after=pb.Cursor(log_id=after.log_id, sequence=after.sequence),
            conversation_ids=conversation_ids,
        )
        with failures_as_refusals():
            call = self._stub.Subscribe(request)
            try:
                async for message in call:
                    event = codec.event_from_pb(message)
                    if event is not None:
                        yield event
            finally:
                call.cancel()

    async def download(self, blob_id: str, *, largest_bytes: int = 64 << 20) -> bytes:
        """The content of a blob that an event names."""
        request = pb.DownloadRequest(blob_id=blob_id)
        content = bytearray()
        with failures_as_refusals():
            call = self._stub.Download(request, timeout=CONTROL_SECONDS)
            try:
                async for part in call:
                    content += part.chunk
                    if len(content) > largest_bytes:
                        break
            finally:
                call.cancel()
        return bytes(content[:largest_bytes])


def _control(conversation_id: str, actor: Actor) -> pb.ControlRequest:
    return pb.ControlRequest(conversation_id=conversation_id, actor=codec.to_pb(actor, pb.Actor))


async def _call(method: Callable[..., Awaitable[T]], request: Message, *, seconds: float) -> T:
    with failures_as_refusals():
        return await method(request, timeout=seconds)
