"""The real runner over TCP with real certificates: who gets in, who does not, and rotation."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from repobridge.certificates import Issued, make_ca, make_certificate
from repobridge.errors import Refusal
from repobridge.session.events import TurnOutcome
from repobridge.session.refusals import failures_as_refusals
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge.tls import (
    ROLE_GATEWAY,
    ROLE_OPERATOR,
    bridge_dns_name,
    target,
)
from repobridge.tls_files import TlsMaterial
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.ports import free_port
from tests.secure_runner import PATIENCE_SECONDS, SecureRunner, secure_runner, swap
from tests.session.faulty import eventually, make_runner

R = TypeVar("R")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
CA, NEXT_CA = make_ca(now=NOW), make_ca(now=NOW)


def material(issued: Issued, *, bundle: bytes = CA.certificate) -> TlsMaterial:
    return TlsMaterial(certificate=issued.certificate, key=issued.key, bundle=bundle)


def role(
    uri: str = ROLE_GATEWAY, *, ca: Issued = CA, bundle: bytes = CA.certificate
) -> TlsMaterial:
    return material(make_certificate(ca, now=NOW, uris=[uri]), bundle=bundle)


def bridge(uid: str, *, ca: Issued = CA, bundle: bytes = CA.certificate) -> TlsMaterial:
    return material(make_certificate(ca, now=NOW, dns_names=[bridge_dns_name(uid)]), bundle=bundle)


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[SecureRunner]:
    async def provide(uid: str) -> TlsMaterial:
        return bridge(uid)

    async with secure_runner(tmp_path, provide) as runner:
        yield runner


async def test_the_gateway_may_submit_and_follow_a_turn(secure: SecureRunner) -> None:
    async with secure.called_as(role()) as stub, asyncio.timeout(PATIENCE_SECONDS):
        events = stub.Subscribe(pb.SubscribeRequest())
        await stub.Submit(
            pb.SubmitRequest(
                conversation_id="main", message_id="m1", text="hello", author=pb.Actor(id="uid:1")
            )
        )
        async for event in events:
            if event.HasField("turn_ended"):
                break
        assert event.turn_ended.outcome == TurnOutcome.COMPLETED.value


async def test_the_operator_may_ask_and_drain_and_nothing_else(secure: SecureRunner) -> None:
    async with secure.called_as(role(ROLE_OPERATOR)) as stub, asyncio.timeout(PATIENCE_SECONDS):
        sessions = await stub.ListSessions(pb.ListSessionsRequest())
        assert sessions.runner.bridge_uid == secure.uid
        assert list((await stub.Activity(pb.ActivityRequest())).busy_reasons) == []
        assert (await stub.Drain(pb.DrainRequest(drain_id="d1"))).drained
        assert (await stub.Resume(pb.ResumeRequest(drain_id="d1"))).resumed
        cut = pb.ControlRequest.Interrupt(cause=pb.INTERRUPT_CAUSE_DRAIN)
        control = stub.Control(pb.ControlRequest(conversation_id="main", interrupt=cut))
        # It is let in: there is only no such conversation.
        assert await control.code() is grpc.StatusCode.NOT_FOUND
        by_user = pb.ControlRequest.Interrupt(cause=pb.INTERRUPT_CAUSE_USER)
        for other in (
            pb.ControlRequest(interrupt=by_user),
            pb.ControlRequest(interrupt=pb.ControlRequest.Interrupt()),
            pb.ControlRequest(stop=pb.ControlRequest.Stop()),
        ):
            assert await stub.Control(other).code() is grpc.StatusCode.PERMISSION_DENIED
        refused: dict[str, grpc.aio.Call] = {
            "Submit": stub.Submit(pb.SubmitRequest()),
            "Amend": stub.Amend(pb.AmendRequest()),
            "Withdraw": stub.Withdraw(pb.WithdrawRequest()),
            "Ack": stub.Ack(pb.AckRequest()),
            "Decide": stub.Decide(pb.DecideRequest()),
            "Control": stub.Control(pb.ControlRequest()),
            "Diff": stub.Diff(pb.DiffRequest()),
            "Subscribe": stub.Subscribe(pb.SubscribeRequest()),
            "Download": stub.Download(pb.DownloadRequest()),
            # Nothing is written: where a write meets the end of a call, the library says INTERNAL.
            "Upload": stub.Upload(_silent(pb.UploadRequest())),
            "Attach": stub.Attach(_silent(pb.AttachRequest())),
        }
        said = {name: (await call.code(), await call.details()) for name, call in refused.items()}
    assert said == {
        name: (
            grpc.StatusCode.PERMISSION_DENIED,
            f"The role operator may not call {name};"
            " it may call Activity, Drain, ListSessions, Resume.",
        )
        for name in refused
    }
    assert set(refused) | {"Activity", "Drain", "ListSessions", "Resume"} == {
        method.name for method in pb.DESCRIPTOR.services_by_name["SessionService"].methods
    }


async def _silent(never: R) -> AsyncIterator[R]:
    """A stream that is open and says nothing."""
    await asyncio.Event().wait()
    yield never


async def test_a_refused_role_is_told_why_and_logged(secure: SecureRunner) -> None:
    with pytest.raises(Refusal) as caught:
        async with secure.called_as(role(ROLE_OPERATOR)) as stub:
            await stub.Submit(pb.SubmitRequest(), timeout=PATIENCE_SECONDS)
    assert caught.value.reason == "ROLE_NOT_ALLOWED"
    assert caught.value.params == {
        "role": "operator",
        "call": "Submit",
        "allowed": "Activity, Drain, ListSessions, Resume",
    }
    [line] = secure.logged("call refused")
    assert (line["reason"], line["call"]) == ("ROLE_NOT_ALLOWED", "Submit")


async def test_a_certificate_of_no_known_role_may_call_nothing(secure: SecureRunner) -> None:
    assert await secure.refusal(role("repobridge://role/person")) == "NO_ROLE"


@pytest.mark.parametrize("uri", [ROLE_GATEWAY, ROLE_OPERATOR])
async def test_health_is_open_to_every_role(secure: SecureRunner, uri: str) -> None:
    async with secure.channel(role(uri)) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS
        )
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("who", ["foreign", "expired", "another bridge"])
async def test_who_proves_nothing_does_not_get_in(secure: SecureRunner, who: str) -> None:
    expired = make_certificate(CA, now=NOW - 9 * DAY, lifetime=DAY, uris=[ROLE_GATEWAY])
    shown = {
        "foreign": role(ca=NEXT_CA),
        "expired": material(expired),
        "another bridge": bridge(str(uuid.uuid4())),
    }[who]
    assert await secure.refusal(shown) == "CERTIFICATE_REFUSED"
    why = {
        "foreign": "unable to get local issuer certificate",
        "expired": "certificate has expired",
        "another bridge": "unsupported certificate purpose",
    }[who]
    told = f"CERTIFICATE_VERIFY_FAILED: {why}"
    await eventually(lambda: told in secure.live.log_text())


@pytest.mark.parametrize("encrypted", [True, False])
async def test_who_shows_nothing_does_not_get_in(secure: SecureRunner, encrypted: bool) -> None:
    options = (("grpc.ssl_target_name_override", bridge_dns_name(secure.uid)),)
    address = target("127.0.0.1", secure.port)
    channel = (
        grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(CA.certificate), options)
        if encrypted
        else grpc.aio.insecure_channel(address)
    )
    async with channel:
        with pytest.raises(Refusal) as caught, failures_as_refusals():
            await SessionServiceStub(channel).ListSessions(
                pb.ListSessionsRequest(), timeout=PATIENCE_SECONDS
            )
    assert caught.value.reason == "CERTIFICATE_REFUSED"


async def test_another_bridge_at_the_address_hears_nothing(secure: SecureRunner) -> None:
    assert await secure.refusal(role(), uid=str(uuid.uuid4())) == "OTHER_BRIDGE"


async def test_a_runner_with_an_expired_or_foreign_certificate_is_refused(
    secure: SecureRunner,
) -> None:
    names = [bridge_dns_name(secure.uid)]
    swap(secure.tls, material(make_certificate(NEXT_CA, now=NOW, dns_names=names)))
    assert await secure.refusal(role()) == "CERTIFICATE_UNTRUSTED"
    expired = make_certificate(CA, now=NOW - 9 * DAY, lifetime=DAY, dns_names=names)
    swap(secure.tls, material(expired))
    assert await secure.refusal(role()) == "CERTIFICATE_EXPIRED"


async def test_a_rotation_leaves_an_open_stream_alone(secure: SecureRunner) -> None:
    both = CA.certificate + NEXT_CA.certificate
    async with secure.called_as(role()) as stub, asyncio.timeout(PATIENCE_SECONDS):
        events = stub.Subscribe(pb.SubscribeRequest(from_now=True))
        await events.initial_metadata()
        # The bundles first, then the certificates, then the old CA goes.
        swap(secure.tls, bridge(secure.uid, bundle=both))
        await secure.sessions(role(bundle=both))
        swap(secure.tls, bridge(secure.uid, ca=NEXT_CA, bundle=both))
        await secure.sessions(role(bundle=both))
        await secure.sessions(role(ca=NEXT_CA, bundle=both))
        swap(secure.tls, bridge(secure.uid, ca=NEXT_CA, bundle=NEXT_CA.certificate))
        await secure.sessions(role(ca=NEXT_CA, bundle=NEXT_CA.certificate))
        assert await secure.refusal(role(bundle=both)) == "CERTIFICATE_REFUSED"
        await secure.live.submit("hello")
        assert (await anext(aiter(events))).log_id
    assert len(secure.logged("certificate files reloaded")) == 3


async def test_broken_files_keep_the_old_credentials_and_are_logged(secure: SecureRunner) -> None:
    good = bridge(secure.uid)
    swap(secure.tls, TlsMaterial(good.certificate, role().key, good.bundle))
    assert (await secure.sessions(role())).runner.bridge_uid == secure.uid
    [line] = secure.logged("certificate files refused, the last good ones stay")
    assert "are not a certificate and its key: key values mismatch." in line["error"]
    swap(secure.tls, bridge(secure.uid, ca=NEXT_CA, bundle=NEXT_CA.certificate))
    await secure.sessions(role(ca=NEXT_CA, bundle=NEXT_CA.certificate))


async def test_noise_and_silence_at_the_door_keep_nobody_out(secure: SecureRunner) -> None:
    async with AsyncExitStack() as stack:
        for number in range(100):
            _, writer = await asyncio.open_connection("127.0.0.1", secure.port)
            stack.callback(writer.close)
            # A third says nothing, a third begins a handshake, a third speaks something else.
            writer.write((b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n")[number % 3])
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in range(5):
                assert (await secure.sessions(role())).runner.bridge_uid == secure.uid


async def test_the_socket_asks_for_no_certificate(secure: SecureRunner) -> None:
    answer = await secure.live.stub.ListSessions(pb.ListSessionsRequest())
    assert answer.runner.bridge_uid == secure.uid


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_directory": ""}, "tls_directory: is missing; listen_address takes nobody in"),
        ({}, "tls.crt: No such file or directory."),
        ({"listen_address": "nonsense"}, "listen_address: "),
    ],
)
async def test_a_listener_that_can_not_be_is_one_sentence(
    tmp_path: Path, settings: Mapping[str, Any], said: str
) -> None:
    whole = {"listen_address": "127.0.0.1:0", "tls_directory": str(tmp_path / "tls"), **settings}
    runner = make_runner(
        tmp_path, tmp_path / "home", agent=ScriptedClaude(tmp_path / "agent").agent, **whole
    )
    with pytest.raises(AssertionError, match="the runner ended: repobridge-runner: ") as caught:
        await runner.start()
    assert said in str(caught.value)
    assert await runner.stop() == 2


async def test_an_address_in_use_is_one_sentence(secure: SecureRunner, tmp_path: Path) -> None:
    other = make_runner(
        tmp_path,
        tmp_path / "other",
        agent=ScriptedClaude(tmp_path / "agent2").agent,
        listen_address=f"127.0.0.1:{secure.port}",
        tls_directory=str(secure.tls),
    )
    with pytest.raises(AssertionError, match=f"listen_address: 127.0.0.1:{secure.port} can't be"):
        await other.start()
    assert await other.stop() == 2


async def test_a_probe_is_answered_while_the_loop_runs(tmp_path: Path) -> None:
    port = free_port()
    runner = make_runner(
        tmp_path,
        tmp_path / "home",
        agent=ScriptedClaude(tmp_path / "agent").agent,
        metrics_address=f"127.0.0.1:{port}",
    )
    await runner.start()
    try:
        assert await _get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        status, text = await _get(f"http://127.0.0.1:{port}/metrics")
        assert (status, "repobridge_runner_sessions" in text) == (200, True)
    finally:
        await runner.stop()


async def _get(url: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(ask)
