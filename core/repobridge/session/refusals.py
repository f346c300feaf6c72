"""Refusals on the wire: a gRPC status, and an ErrorDetail in the trailing metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from repobridge import tls_failures
from repobridge.errors import Refusal, Status
from repobridge.session.v1 import session_pb2 as pb

KEY = "repobridge-error-bin"


def trailing_metadata(refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    """The metadata that carries a refusal's reason and parameters."""
    detail = pb.ErrorDetail(
        reason=refusal.reason, message=refusal.message, params=dict(refusal.params)
    )
    return ((KEY, detail.SerializeToString()),)


def status_code(refusal: Refusal) -> grpc.StatusCode:
    """The gRPC status that a refusal becomes."""
    return grpc.StatusCode[refusal.status.value]


def from_rpc_error(error: grpc.aio.AioRpcError) -> Refusal:
    """What a failed call means; a peer that is gone is UNAVAILABLE with the reason UNREACHABLE."""
    code = error.code()
    for key, value in error.trailing_metadata() or ():
        if key == KEY and isinstance(value, bytes):
            detail = pb.ErrorDetail.FromString(value)
            return Refusal(_status(code), detail.reason, detail.message, dict(detail.params))
    text = error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        if (failure := tls_failures.meaning(text)) is not None:
            return failure
        return Refusal(Status.UNAVAILABLE, "UNREACHABLE", text or "The other side is gone.")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Refusal(Status.UNAVAILABLE, "NO_ANSWER", "The other side did not answer in time.")
    return Refusal(_status(code), code.name, text or f"The call failed with {code.name}.")


@contextmanager
def failures_as_refusals() -> Iterator[None]:
    """Whatever ends a call in this block early is raised as a Refusal, but for a cancelled caller.

    Who closes a channel cancels its calls, and each waiter gets a CancelledError that nobody sent
    to its task: it would end in silence. A new call there is a UsageError.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error
    except grpc.aio.UsageError as error:
        raise _closed() from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise _closed() from error


def _closed() -> Refusal:
    return Refusal(Status.UNAVAILABLE, "UNREACHABLE", "The connection was closed.")


def _status(code: grpc.StatusCode) -> Status:
    try:
        return Status(code.name)
    except ValueError:
        return Status.INTERNAL
