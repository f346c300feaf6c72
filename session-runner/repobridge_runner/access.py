"""Who may call what over TLS: the role that a certificate names decides before a call begins.

The gateway speaks for people and may call everything. The operator puts runners to sleep, and
may not read or write what people say; what it may end is a turn that outlasts its drain. Health
is open to every role. The unix socket is not asked: who reaches it was checked at its door.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from repobridge.errors import Refusal, Status
from repobridge.session import refusals
from repobridge.session.v1 import session_pb2 as pb
from repobridge.telemetry import Logger
from repobridge.tls import Role, role_of

OPERATOR_CALLS = ("Activity", "Drain", "ListSessions", "Resume")
_SERVICE = "/repobridge.session.v1.SessionService/"
_HEALTH = "/grpc.health.v1.Health/"
_log = Logger("repobridge.server")

if TYPE_CHECKING:  # the class itself takes no parameters
    Handler = grpc.RpcMethodHandler[Any, Any]

Context = grpc.aio.ServicerContext[Any, Any]
Details = grpc.HandlerCallDetails


def check(role: Role | None, method: str, request: Any = None) -> None:
    """Raises a Refusal when a role may not call a method, given as gRPC's full name."""
    call = method.rpartition("/")[2]
    if role is None:
        raise Refusal(
            Status.PERMISSION_DENIED,
            "NO_ROLE",
            "The certificate names no role; call with one that the operator made for the gateway"
            " or for itself.",
            {"call": call},
        )
    if role is Role.GATEWAY or method.startswith(_HEALTH):
        return
    is_own = call in OPERATOR_CALLS or _interrupts_for_a_drain(request)
    if not method.startswith(_SERVICE) or not is_own:
        name = role.name.lower()
        allowed = ", ".join(OPERATOR_CALLS)
        raise Refusal(
            Status.PERMISSION_DENIED,
            "ROLE_NOT_ALLOWED",
            f"The role {name} may not call {call}; it may call {allowed}.",
            {"role": name, "call": call, "allowed": allowed},
        )


def _interrupts_for_a_drain(request: Any) -> bool:
    return (
        isinstance(request, pb.ControlRequest)
        and request.WhichOneof("action") == "interrupt"
        and request.interrupt.cause == pb.INTERRUPT_CAUSE_DRAIN
    )


class RoleCheck(grpc.aio.ServerInterceptor):
    """Checks the role of each call's certificate, for a server that only listens with TLS."""

    async def intercept_service(
        self,
        continuation: Callable[[Details], Awaitable[Handler | None]],
        handler_call_details: Details,
    ) -> Handler | None:
        """The call's handler, behind the check."""
        handler = await continuation(handler_call_details)
        return handler and _guarded(handler, handler_call_details.method)


def _guarded(handler: Handler, method: str) -> Handler:
    kind = (
        f"{'stream' if handler.request_streaming else 'unary'}_"
        f"{'stream' if handler.response_streaming else 'unary'}"
    )
    behaviour = getattr(handler, kind)
    wrap = _guarded_stream if inspect.isasyncgenfunction(behaviour) else _guarded_call
    make: Callable[..., Handler] = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(wrap(behaviour, method), handler.request_deserializer, handler.response_serializer)


def _guarded_call(
    behaviour: Callable[[Any, Context], Awaitable[Any]], method: str
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:
        await _admit(context, method, request)
        return await behaviour(request, context)

    return call


def _guarded_stream(
    behaviour: Callable[[Any, Context], Any], method: str
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def call(request: Any, context: Context) -> AsyncIterator[Any]:
        await _admit(context, method, request)
        async with aclosing(behaviour(request, context)) as parts:
            async for part in parts:
                yield part

    return call


async def _admit(context: Context, method: str, request: Any) -> None:
    role = role_of(context.auth_context())
    try:
        check(role, method, request)
    except Refusal as refusal:
        _log.warning(
            "call refused", reason=refusal.reason, call=refusal.params["call"], peer=context.peer()
        )
        await context.abort(
            refusals.status_code(refusal),
            refusal.message,
            trailing_metadata=refusals.trailing_metadata(refusal),
        )
