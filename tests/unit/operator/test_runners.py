"""The channels to runners, over real gRPC and mutual TLS: to the right one, and closed in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from repobridge.certificates import Issued, make_ca, make_certificate
from repobridge.errors import Refusal
from repobridge.session.v1 import session_pb2 as pb
from repobridge.tls import ROLE_OPERATOR, ClientTls, Role, bridge_dns_name, role_of
from repobridge.tls_files import TlsDirectory
from repobridge_operator.runners import Place, Runners, TlsDialler

NOW = datetime.now(UTC)
CA, OTHER_CA = make_ca(now=NOW), make_ca(now=NOW)
UID, OTHER_UID = "7f0c2f4e-7e6b-4a53-9b3a-0d6b3f1a2c3d", "00000000-0000-4000-8000-000000000001"
PATIENCE_SECONDS = 90.0
Context = grpc.aio.ServicerContext[Any, Any]


class Sessions:
    """A server with sessions in it, which notes who called what; `stuck` ones never answer."""

    def __init__(self, *turns: str, stuck: tuple[str, ...] = ()) -> None:
        self.turns = turns
        self.stuck = stuck
        self.roles: list[Role | None] = []
        self.cut: list[tuple[str, int]] = []
        self.called = asyncio.Event()

    async def list_sessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        self.roles.append(role_of(context.auth_context()))
        open_ones = [pb.SessionInfo(conversation_id=each, turn_id="t") for each in self.turns]
        return pb.ListSessionsResponse(
            sessions=[pb.SessionInfo(conversation_id="quiet"), *open_ones]
        )

    async def control(self, request: pb.ControlRequest, context: Context) -> pb.ControlResponse:
        self.called.set()
        if request.conversation_id in self.stuck:
            await asyncio.Event().wait()
        self.cut.append((request.conversation_id, request.interrupt.cause))
        return pb.ControlResponse(changed=True)

    def handlers(self) -> grpc.GenericRpcHandler:
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ListSessions": grpc.unary_unary_rpc_method_handler(
                self.list_sessions, pb.ListSessionsRequest.FromString, _bytes
            ),
            "Control": grpc.unary_unary_rpc_method_handler(
                self.control, pb.ControlRequest.FromString, _bytes
            ),
        }
        return grpc.method_handlers_generic_handler("repobridge.session.v1.SessionService", methods)


def _bytes(message: Message) -> bytes:
    return message.SerializeToString()


@pytest.fixture
def sessions() -> Sessions:
    return Sessions("main", "thread", stuck=())


@pytest.fixture
async def place(sessions: Sessions) -> AsyncIterator[Place]:
    """Where bridge UID's runner listens."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((sessions.handlers(),))
    issued = make_certificate(CA, now=NOW, dns_names=[bridge_dns_name(UID)])
    credentials = grpc.ssl_server_credentials(
        [(issued.key, issued.certificate)], CA.certificate, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield Place(UID, "pod", "127.0.0.1", port)
    await server.stop(None)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def write(directory: Path, *, ca: Issued = CA) -> None:
    issued = make_certificate(ca, now=NOW, uris=[ROLE_OPERATOR])
    (directory / "tls.crt").write_bytes(issued.certificate)
    (directory / "tls.key").write_bytes(issued.key)
    (directory / "ca.crt").write_bytes(CA.certificate)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def runners(tmp_path: Path, clock: Clock) -> AsyncIterator[Runners]:
    write(tmp_path)
    runners = Runners(TlsDialler(ClientTls(TlsDirectory(tmp_path)), clock=clock))
    yield runners
    await runners.close()


async def test_every_open_turn_is_told_to_end_as_the_operator_for_a_drain(
    runners: Runners, place: Place, sessions: Sessions
) -> None:
    assert await runners.interrupt_turns(place) == 2
    assert sorted(sessions.cut) == [
        ("main", pb.INTERRUPT_CAUSE_DRAIN),
        ("thread", pb.INTERRUPT_CAUSE_DRAIN),
    ]
    assert sessions.roles == [Role.OPERATOR]
    assert len(runners) == 1


async def test_an_address_that_went_to_another_bridge_answers_nothing(
    runners: Runners, place: Place, sessions: Sessions
) -> None:
    with pytest.raises(Refusal) as refused:
        await runners.calls(replace(place, bridge_uid=OTHER_UID)).open_turns()
    assert refused.value.reason == "OTHER_BRIDGE"
    assert sessions.roles == []


async def test_the_channel_stays_for_a_pod_and_is_another_for_another_address(
    runners: Runners, place: Place
) -> None:
    first = runners.calls(place)
    assert runners.calls(place) is first
    other = runners.calls(replace(place, address="127.0.0.2"))
    assert other is not first
    assert len(runners) == 1
    with pytest.raises(Refusal) as refused:
        await first.open_turns()
    assert refused.value.reason == "UNREACHABLE"


async def test_a_new_certificate_is_shown_on_a_new_channel(
    runners: Runners, place: Place, clock: Clock, tmp_path: Path
) -> None:
    first = runners.calls(place)
    write(tmp_path)
    assert runners.calls(place) is first
    clock.seconds = 31.0
    second = runners.calls(place)
    assert second is not first
    assert await second.open_turns() == ("main", "thread")


async def test_a_certificate_that_no_runner_trusts_is_refused(
    runners: Runners, place: Place, clock: Clock, tmp_path: Path
) -> None:
    write(tmp_path, ca=OTHER_CA)
    with pytest.raises(Refusal) as refused:
        await runners.calls(place).open_turns()
    assert refused.value.reason == "CERTIFICATE_REFUSED"


async def test_without_a_certificate_nothing_is_dialled(place: Place, tmp_path: Path) -> None:
    runners = Runners(TlsDialler(ClientTls(TlsDirectory(tmp_path / "none")), clock=Clock()))
    with pytest.raises(Refusal) as refused:
        runners.calls(place)
    assert refused.value.reason == "NO_CERTIFICATE"
    assert len(runners) == 0


async def test_what_is_no_address_is_refused_with_a_sentence(
    runners: Runners, place: Place
) -> None:
    with pytest.raises(Refusal) as refused:
        runners.calls(replace(place, address="payments.team.svc"))
    assert refused.value.reason == "BAD_ADDRESS"
    assert "payments.team.svc is no address of bridge" in refused.value.message


async def test_a_call_under_way_to_a_pod_that_goes_ends_in_a_refusal_and_cancels_nobody(
    runners: Runners, place: Place, sessions: Sessions
) -> None:
    sessions.stuck = ("main", "thread")
    calling = asyncio.create_task(runners.interrupt_turns(place))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await sessions.called.wait()
        runners.forget(place.pod_uid)
        assert await calling == 2  # told, as far as that was possible
    assert len(runners) == 0


async def test_a_session_that_hangs_keeps_no_other_from_being_told(
    runners: Runners, place: Place, sessions: Sessions
) -> None:
    sessions.stuck = ("main",)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await runners.interrupt_turns(place) == 2
    assert sessions.cut == [("thread", pb.INTERRUPT_CAUSE_DRAIN)]


async def test_a_caller_that_is_cancelled_is_cancelled(
    runners: Runners, place: Place, sessions: Sessions
) -> None:
    sessions.stuck = ("main",)
    calling = asyncio.create_task(runners.interrupt_turns(place))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await sessions.called.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
