"""The calls that look after a runner and put it to sleep, as plain values: protobuf stops here.

Whoever does so, on one machine or in a cluster, makes them the same way. Every call has a deadline;
a failed one raises a Refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from math import ceil
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from repobridge.idle import Activity, Drained
from repobridge.session import codec
from repobridge.session.events import Actor, BusyReason, InterruptCause, RunnerState
from repobridge.session.refusals import failures_as_refusals
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub

CALL_SECONDS = 10.0
T = TypeVar("T")


class RunnerCalls:
    """Those calls to one runner, over a channel that somebody else closes."""

    def __init__(self, channel: grpc.aio.Channel, *, call_seconds: float = CALL_SECONDS) -> None:
        self._stub = SessionServiceStub(channel)
        self._seconds = call_seconds

    async def activity(self, *, terminal_idle_seconds: float = 0.0) -> Activity:
        """Whether the runner is idle."""
        request = pb.ActivityRequest(terminal_idle_seconds=_whole(terminal_idle_seconds))
        answer = await self._call(self._stub.Activity, request)
        return Activity(
            busy_reasons=_busy_reasons(answer.busy_reasons),
            last_activity=_time(answer, "last_activity"),
            last_turn=_time(answer, "last_turn"),
            state=next((s for s in RunnerState if s.value == answer.state), None),
            log_id=answer.log_id,
            last_sequence=answer.last_sequence,
            queued_messages=answer.queued_messages,
            live_sessions=answer.live_sessions,
            sessions=answer.sessions,
            problem_reason=answer.problem.reason,
            problem=answer.problem.message,
        )

    async def drain(
        self,
        drain_id: str,
        *,
        after_turn: bool = False,
        lease_seconds: float = 0.0,
        terminal_idle_seconds: float = 0.0,
    ) -> Drained:
        """Asks for permission to stop the runner, or renews it; no lease named: 30 seconds."""
        request = pb.DrainRequest(
            drain_id=drain_id,
            mode=pb.DrainRequest.AFTER_TURN if after_turn else pb.DrainRequest.IF_IDLE,
            ttl_seconds=_whole(lease_seconds),
            terminal_idle_seconds=_whole(terminal_idle_seconds),
        )
        answer = await self._call(self._stub.Drain, request)
        return Drained(
            is_granted=answer.drained,
            is_held=answer.HasField("expires_at"),
            busy_reasons=_busy_reasons(answer.busy_reasons),
        )

    async def resume(self, drain_id: str) -> bool:
        """Ends a drain early; False where it was over, or is another's."""
        answer = await self._call(self._stub.Resume, pb.ResumeRequest(drain_id=drain_id))
        return bool(answer.resumed)

    async def open_turns(self) -> tuple[str, ...]:
        """The conversations in which a turn runs."""
        answer = await self._call(self._stub.ListSessions, pb.ListSessionsRequest())
        return tuple(each.conversation_id for each in answer.sessions if each.turn_id)

    async def interrupt(self, conversation_id: str, actor: Actor, cause: InterruptCause) -> bool:
        """Ends the running turn of a conversation; False where there is none."""
        request = pb.ControlRequest(
            conversation_id=conversation_id, actor=codec.to_pb(actor, pb.Actor)
        )
        request.interrupt.cause = cause.value  # type: ignore[assignment]
        return bool((await self._call(self._stub.Control, request)).changed)

    async def _call(self, method: Callable[..., Awaitable[T]], request: Message) -> T:
        with failures_as_refusals():
            return await method(request, timeout=self._seconds)


def _whole(seconds: float) -> int:
    """Rounded up: nought would mean the runner's own default."""
    return ceil(seconds)


def _busy_reasons(values: Iterable[int]) -> tuple[BusyReason | None, ...]:
    members = {member.value: member for member in BusyReason}
    return tuple(members.get(value) for value in values)


def _time(answer: pb.ActivityResponse, name: Any) -> float | None:
    return codec.seconds(getattr(answer, name)) if answer.HasField(name) else None
