"""The gRPC edge of the runner: the only module that knows the wire."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import grpc

from repobridge import __version__
from repobridge.errors import Refusal, Status
from repobridge.session import codec, refusals
from repobridge.session.events import (
    Actor,
    Cursor,
    InterruptCause,
    MessageKind,
    MessageState,
    MessageStatus,
    RequestOutcome,
    RunnerState,
    Scope,
    Verdict,
)
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import (
    SessionServiceServicer,
    add_SessionServiceServicer_to_server,
)
from repobridge.telemetry import Logger
from repobridge_runner import activity, checks, forks, queueing
from repobridge_runner.attach import attach
from repobridge_runner.queueing import Submission
from repobridge_runner.requests import Decision
from repobridge_runner.runner import Runner
from repobridge_runner.session import Session
from repobridge_runner.store import MessageRow
from repobridge_runner.transfers import download, upload

_log = Logger("repobridge.server")
MAX_MESSAGE_BYTES = 1 << 20
_DIFF_BYTES = 512 << 10
# What a client may send at most: a message over the limit is refused by us, with a sentence.
_RECEIVE_BYTES = 16 << 20
OPTIONS = (
    ("grpc.max_receive_message_length", _RECEIVE_BYTES),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
)
T = TypeVar("T")
Context = grpc.aio.ServicerContext[Any, Any]


def _refusing(method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    @functools.wraps(method)
    async def call(self: object, request: Any, context: Context) -> T:
        try:
            return await method(self, request, context)
        except Refusal as refusal:
            await _abort(context, refusal)
            raise

    return call


async def _abort(context: Context, refusal: Refusal) -> None:
    await context.abort(
        refusals.status_code(refusal),
        refusal.message,
        trailing_metadata=refusals.trailing_metadata(refusal),
    )


class SessionServer(SessionServiceServicer):
    """Serves repobridge.session.v1 for one runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the service."""
        add_SessionServiceServicer_to_server(self, server)

    @_refusing
    async def Submit(self, request: pb.SubmitRequest, context: Context) -> pb.SubmitResponse:
        """Queues a message."""
        if request.ByteSize() > MAX_MESSAGE_BYTES:
            raise checks.too_large(request.ByteSize(), MAX_MESSAGE_BYTES)
        message = MessageRow(
            message_id=checks.identifier(request.message_id, "message_id"),
            conversation_id=checks.conversation(request.conversation_id),
            ordinal=0,
            kind=_enum(MessageKind, request.kind, MessageKind.TEXT),
            state=MessageState.QUEUED,
            text=request.text,
            author=codec.from_pb(Actor, request.author),
            attachments=tuple(request.attachment_ids),
        )
        commands = self._runner.settings.agent.commands
        message = checks.message(message, commands=commands)
        submission = Submission(message=message, allowed_models=tuple(request.allowed_models))
        status, duplicate = await queueing.submit(self._runner, submission)
        return pb.SubmitResponse(status=codec.to_pb(status, pb.MessageStatus), duplicate=duplicate)

    @_refusing
    async def Amend(self, request: pb.AmendRequest, context: Context) -> pb.MessageStatus:
        """Replaces the text of a message that waits."""
        if len(request.text.encode()) > MAX_MESSAGE_BYTES:
            raise checks.too_large(len(request.text.encode()), MAX_MESSAGE_BYTES)
        if not request.text.strip():
            raise checks.empty()
        return _status(await queueing.amend(self._runner, request.message_id, request.text))

    @_refusing
    async def Withdraw(self, request: pb.WithdrawRequest, context: Context) -> pb.MessageStatus:
        """Takes back a message that waits."""
        return _status(await queueing.withdraw(self._runner, request.message_id))

    async def Subscribe(
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.Event]:
        """Streams the log."""
        after = codec.from_pb(Cursor, request.after)
        try:
            events = self._runner.log.subscribe(
                after,
                conversation_ids=frozenset(request.conversation_ids),
                from_now=request.from_now,
            )
            # The headers tell the client that from here on nothing is missed.
            await context.send_initial_metadata(())
            async for stored in events:
                yield pb.Event.FromString(stored.payload)
        except Refusal as refusal:
            await _abort(context, refusal)

    @_refusing
    async def Ack(self, request: pb.AckRequest, context: Context) -> pb.AckResponse:
        """Records what a consumer delivered."""
        consumer = checks.identifier(request.consumer, "consumer")
        cursor = await self._runner.log.ack(consumer, codec.from_pb(Cursor, request.cursor))
        return pb.AckResponse(acked=codec.to_pb(cursor, pb.Cursor))

    @_refusing
    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideResponse:
        """Answers a request."""
        verdict = _enum(Verdict, request.verdict, None)
        if verdict is None:
            raise Refusal(
                Status.INVALID_ARGUMENT, "NO_VERDICT", "verdict: say ALLOW, DENY or ANSWER.", {}
            )
        decision = Decision(
            verdict=verdict,
            actor=codec.from_pb(Actor, request.actor),
            scope=_enum(Scope, request.scope, Scope.ONCE),
            suggestion_id=request.suggestion_id,
            reason=self._runner.redactor.text(request.reason),
            answers=[(a.question_id, tuple(a.options), a.other) for a in request.answers],
            input_sha256=request.input_sha256,
        )
        outcome = await self._runner.decide(request.request_id, decision)
        return pb.DecideResponse(outcome=RequestOutcome[outcome].value)  # type: ignore[arg-type]

    @_refusing
    async def Control(self, request: pb.ControlRequest, context: Context) -> pb.ControlResponse:
        """Acts on a session."""
        session = self._runner.find(checks.conversation(request.conversation_id))
        changed = True
        match request.WhichOneof("action"):
            case "interrupt":
                cause = _enum(InterruptCause, request.interrupt.cause, InterruptCause.USER)
                changed = await session.interrupt(cause)
            case "restart":
                changed = await session.restart()
            case "clear":
                changed = await session.clear()
            case "stop":
                reason = self._runner.redactor.text(request.stop.reason)
                changed = await session.stop(reason or "Stopped")
            case "set_model":
                changed = await session.set_model(checks.model(request.set_model.model))
            case "set_mode":
                changed = await session.set_mode(checks.mode(request.set_mode.permission_mode))
            case "fork":
                new = checks.conversation(request.fork.new_conversation_id)
                session = await forks.fork(self._runner, session.conversation_id, new)
            case _:
                sentence = "action: say which one; interrupt, restart, clear, stop or another."
                raise Refusal(Status.INVALID_ARGUMENT, "NO_ACTION", sentence, {})
        return pb.ControlResponse(
            session_id=session.row.session_id,
            state=session.state.value,  # type: ignore[arg-type]
            changed=changed,
        )

    @_refusing
    async def Diff(self, request: pb.DiffRequest, context: Context) -> pb.DiffResponse:
        """What a conversation changed."""
        session = self._runner.find(checks.conversation(request.conversation_id))
        path = Path(session.row.working_dir or self._runner.workspace.directory)
        found = await self._runner.workspace.diff(path)
        answer = pb.DiffResponse(
            files=found.files,
            insertions=found.insertions,
            deletions=found.deletions,
            branch=found.branch,
        )
        if not request.stat_only:
            text = self._runner.redactor.text(found.unified)
            if len(text.encode("utf-8", "replace")) > _DIFF_BYTES:
                answer.blob_id = self._runner.keep_blob(text, "changes.diff")
            else:
                answer.unified = text
        return answer

    async def Upload(
        self, request_iterator: AsyncIterator[pb.UploadRequest], context: Context
    ) -> pb.UploadResponse:
        """Receives an attachment."""
        try:
            return await upload(self._runner, request_iterator)
        except Refusal as refusal:
            await _abort(context, refusal)
            raise

    async def Download(
        self, request: pb.DownloadRequest, context: Context
    ) -> AsyncIterator[pb.DownloadResponse]:
        """Sends a blob."""
        try:
            async for part in download(self._runner, request):
                yield part
        except Refusal as refusal:
            await _abort(context, refusal)

    async def Attach(
        self, request_iterator: AsyncIterator[pb.AttachRequest], context: Context
    ) -> AsyncIterator[pb.AttachResponse]:
        """The live terminal."""
        try:
            async for part in attach(self._runner, request_iterator):
                yield part
        except Refusal as refusal:
            await _abort(context, refusal)

    @_refusing
    async def Activity(self, request: pb.ActivityRequest, context: Context) -> pb.ActivityResponse:
        """Whether the runner is idle."""
        runner = self._runner
        seconds = request.terminal_idle_seconds or activity.DEFAULT_TERMINAL_IDLE_SECONDS
        reasons = activity.busy_reasons(runner, terminal_idle_seconds=seconds)
        answer = pb.ActivityResponse(
            busy_reasons=[reason.value for reason in reasons],  # type: ignore[misc]
            log_id=runner.log.log_id,
            last_sequence=runner.log.last_sequence,
            acked_sequence=runner.log.acked_sequence or 0,
            last_activity=codec.timestamp(activity.last_activity(runner)),
            live_sessions=sum(session.is_live for session in runner.sessions.values()),
            sessions=len(runner.sessions),
            state=self._state().value,  # type: ignore[arg-type]
            queued_messages=sum(session.queued for session in runner.sessions.values()),
        )
        if turn := activity.last_turn(runner):
            answer.last_turn.CopyFrom(codec.timestamp(turn))
        if problem := runner.problem or runner.fullness:
            answer.problem.reason, answer.problem.message = problem.reason, problem.message
        return answer

    @_refusing
    async def Drain(self, request: pb.DrainRequest, context: Context) -> pb.DrainResponse:
        """Asks whether the runner may be stopped."""
        seconds = request.ttl_seconds or activity.DEFAULT_DRAIN_SECONDS
        answer = activity.drain(
            self._runner,
            checks.identifier(request.drain_id, "drain_id"),
            after_turn=request.mode == pb.DrainRequest.AFTER_TURN,
            seconds=min(seconds, activity.LONGEST_DRAIN_SECONDS),
            terminal_idle_seconds=request.terminal_idle_seconds
            or activity.DEFAULT_TERMINAL_IDLE_SECONDS,
        )
        response = pb.DrainResponse(
            drained=answer.drained,
            busy_reasons=[reason.value for reason in answer.reasons],  # type: ignore[misc]
        )
        if answer.seconds:
            until = self._runner.clock() + answer.seconds
            response.expires_at.CopyFrom(codec.timestamp(until))
        return response

    @_refusing
    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        """Ends a drain early."""
        resumed = self._runner.drain.release(request.drain_id)
        if resumed:
            self._runner.touched()
        return pb.ResumeResponse(resumed=resumed)

    @_refusing
    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        """What runs here now."""
        runner = self._runner
        return pb.ListSessionsResponse(
            sessions=[_info(session) for session in runner.sessions.values()],
            runner=pb.RunnerInfo(
                state=self._state().value,  # type: ignore[arg-type]
                version=__version__,
                agent_version=runner.agent_version,
                bridge_uid=runner.settings.bridge_uid,
                repository_url=runner.settings.repository.url,
                started_at=codec.timestamp(runner.started_at),
                log_id=runner.log.log_id,
            ),
        )

    def _state(self) -> RunnerState:
        return RunnerState.DRAINING if self._runner.drain.is_active else self._runner.state


def _status(status: MessageStatus) -> pb.MessageStatus:
    message: pb.MessageStatus = codec.to_pb(status, pb.MessageStatus)
    return message


def _info(session: Session) -> pb.SessionInfo:
    row, turn = session.row, session.turn
    info = pb.SessionInfo(
        conversation_id=session.conversation_id,
        session_id=row.session_id,
        generation=row.generation,
        state=session.state.value,  # type: ignore[arg-type]
        model=session.model,
        permission_mode=session.mode,
        working_dir=row.working_dir,
        branch=row.branch,
        queued=session.queued,
        turn_id=turn.turn_id if turn else "",
        usage=_usage(row.usage),
        attached=session.attached,
        open_requests=[
            pb.OpenRequest(request_id=each.request_id, sequence=each.sequence)
            for each in session.requests.waiting.values()
        ],
    )
    if turn is not None:
        info.turn_started_at.CopyFrom(codec.timestamp(turn.opened_at))
    if session.last_activity:
        info.last_activity.CopyFrom(codec.timestamp(session.last_activity))
    return info


def _usage(counts: Mapping[str, int]) -> pb.UsageUpdated:
    usage = pb.UsageUpdated()
    for name, count in counts.items():
        setattr(usage, name, count)
    return usage


def _enum(kind: Any, value: int, default: Any) -> Any:
    try:
        return kind(value)
    except ValueError:
        return default
