from __future__ import annotations

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from repobridge.errors import Refusal, Status
from repobridge.session.refusals import from_rpc_error, status_code, trailing_metadata


def rpc_error(
    code: grpc.StatusCode, metadata: tuple[tuple[str, bytes], ...] = (), details: str = ""
) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(*metadata), details)


@pytest.mark.parametrize("status", Status)
def test_a_refusal_survives_the_wire(status: Status) -> None:
    refusal = Refusal(status, "QUEUE_FULL", "Too many; wait.", {"oldest": "812"})
    returned = from_rpc_error(rpc_error(status_code(refusal), trailing_metadata(refusal)))
    assert (returned.status, returned.reason, returned.message, returned.params) == (
        refusal.status,
        refusal.reason,
        refusal.message,
        refusal.params,
    )


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Status.UNAVAILABLE, "UNREACHABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Status.UNAVAILABLE, "NO_ANSWER"),
        (grpc.StatusCode.UNIMPLEMENTED, Status.INTERNAL, "UNIMPLEMENTED"),
        (grpc.StatusCode.NOT_FOUND, Status.NOT_FOUND, "NOT_FOUND"),
    ],
)
def test_a_failure_without_details_has_a_reason_too(
    code: grpc.StatusCode, status: Status, reason: str
) -> None:
    refusal = from_rpc_error(rpc_error(code))
    assert (refusal.status, refusal.reason, bool(refusal.message)) == (status, reason, True)
