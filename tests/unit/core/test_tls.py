"""Mutual TLS over a real connection: who gets in, who is refused, and what rotation does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from repobridge.certificates import Issued, make_ca, make_certificate
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge.tls import (
    ROLE_GATEWAY,
    ROLE_OPERATOR,
    ClientTls,
    Role,
    bridge_channel,
    bridge_dns_name,
    client_credentials,
    role_of,
    server_credentials,
    target,
)
from repobridge.tls_files import TlsDirectory, TlsMaterial
from tests.unit.core.test_tls_files import write

NOW = datetime.now(UTC)
CA, OTHER_CA = make_ca(now=NOW), make_ca(now=NOW)
UID, OTHER_UID = "7f0c2f4e-7e6b-4a53-9b3a-0d6b3f1a2c3d", "00000000-0000-4000-8000-000000000001"
PATIENCE_SECONDS = 90.0


def bridge(uid: str = UID, *, ca: Issued = CA, bundle: bytes = b"") -> TlsMaterial:
    issued = make_certificate(ca, now=NOW, dns_names=[bridge_dns_name(uid)])
    return TlsMaterial(issued.certificate, issued.key, bundle or ca.certificate)


def role(uri: str = ROLE_GATEWAY, *, ca: Issued = CA, bundle: bytes = b"") -> TlsMaterial:
    issued = make_certificate(ca, now=NOW, uris=[uri])
    return TlsMaterial(issued.certificate, issued.key, bundle or ca.certificate)


Context = grpc.aio.ServicerContext[Any, Any]


class Greeter:
    """Notes the role of each caller; a subscriber hears of each call."""

    def __init__(self) -> None:
        self.roles: list[Role | None] = []
        self.called = asyncio.Condition()

    def add_to(self, server: grpc.aio.Server) -> None:
        def to_bytes(message: Message) -> bytes:
            return message.SerializeToString()

        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "ListSessions": grpc.unary_unary_rpc_method_handler(
                self.list_sessions, pb.ListSessionsRequest.FromString, to_bytes
            ),
            "Subscribe": grpc.unary_stream_rpc_method_handler(
                self.subscribe, pb.SubscribeRequest.FromString, to_bytes
            ),
        }
        service = "repobridge.session.v1.SessionService"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    async def list_sessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        async with self.called:
            self.roles.append(role_of(context.auth_context()))
            self.called.notify_all()
        return pb.ListSessionsResponse()

    async def subscribe(
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.Event]:
        yield pb.Event(sequence=1)
        async with self.called:
            await self.called.wait()
        yield pb.Event(sequence=2)


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[Greeter, int]]:
    server, greeter = grpc.aio.server(), Greeter()
    greeter.add_to(server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(TlsDirectory(directory)))
    await server.start()
    try:
        yield greeter, port
    finally:
        await server.stop(None)


async def check(port: int, who: TlsMaterial, *, uid: str = UID) -> str:
    """Calls once; returns OK or what went wrong."""
    credentials = client_credentials(who)
    async with bridge_channel("127.0.0.1", port, uid=uid, credentials=credentials) as channel:
        stub = SessionServiceStub(channel)
        call = stub.ListSessions(pb.ListSessionsRequest(), timeout=PATIENCE_SECONDS)
        if await call.code() is grpc.StatusCode.UNAVAILABLE:
            return await call.details()
        return (await call.code()).name


@pytest.mark.parametrize("uri", [ROLE_GATEWAY, ROLE_OPERATOR])
async def test_a_role_gets_in_and_is_known(tmp_path: Path, uri: str) -> None:
    write(tmp_path, bridge())
    async with served(tmp_path) as (greeter, port):
        assert await check(port, role(uri)) == "OK"
        assert greeter.roles == [Role(uri)]


async def test_a_proxy_of_the_environment_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    write(tmp_path, bridge())
    async with served(tmp_path) as (_, port):
        assert await check(port, role()) == "OK"


async def test_another_bridges_address_is_refused_by_the_caller(tmp_path: Path) -> None:
    write(tmp_path, bridge(OTHER_UID))
    async with served(tmp_path) as (greeter, port):
        assert "Hostname Verification Check failed" in await check(port, role())
        assert greeter.roles == []


async def test_a_runner_of_a_foreign_ca_is_refused_by_the_caller(tmp_path: Path) -> None:
    write(tmp_path, bridge(ca=OTHER_CA, bundle=CA.certificate))
    async with served(tmp_path) as (greeter, port):
        assert "CERTIFICATE_VERIFY_FAILED" in await check(port, role())
        assert greeter.roles == []


@pytest.mark.parametrize("who", ["foreign", "expired", "bridge"])
async def test_a_client_that_proves_nothing_is_refused(tmp_path: Path, who: str) -> None:
    old = make_certificate(
        make_ca(now=NOW - timedelta(days=10)), now=NOW - timedelta(days=9), uris=[ROLE_GATEWAY]
    )
    expired = make_certificate(
        CA, now=NOW - timedelta(days=9), lifetime=timedelta(days=1), uris=[ROLE_GATEWAY]
    )
    material = {
        "foreign": TlsMaterial(old.certificate, old.key, CA.certificate),
        "expired": TlsMaterial(expired.certificate, expired.key, CA.certificate),
        "bridge": bridge(OTHER_UID),
    }[who]
    write(tmp_path, bridge())
    async with served(tmp_path) as (greeter, port):
        assert await check(port, material) != "OK"
        assert greeter.roles == []


async def test_rotation_leaves_a_stream_open_and_new_connections_use_the_new_files(
    tmp_path: Path,
) -> None:
    both = CA.certificate + OTHER_CA.certificate
    write(tmp_path, bridge(bundle=both))
    async with served(tmp_path) as (_, port), asyncio.timeout(PATIENCE_SECONDS):
        credentials = client_credentials(role())
        async with bridge_channel("127.0.0.1", port, uid=UID, credentials=credentials) as channel:
            events = aiter(SessionServiceStub(channel).Subscribe(pb.SubscribeRequest()))
            assert (await anext(events)).sequence == 1
            write(tmp_path, bridge(ca=OTHER_CA))
            assert await check(port, role()) != "OK"
            assert await check(port, role(ca=OTHER_CA)) == "OK"
            assert (await anext(events)).sequence == 2


async def test_broken_files_leave_new_connections_on_the_old_ones(tmp_path: Path) -> None:
    write(tmp_path, bridge())
    async with served(tmp_path) as (_, port):
        (tmp_path / "tls.crt").write_bytes(b"junk")
        assert await check(port, role()) == "OK"
        write(tmp_path, bridge(ca=OTHER_CA))
        assert await check(port, role(ca=OTHER_CA)) == "OK"


def test_a_clients_credentials_change_with_its_files_and_only_then(tmp_path: Path) -> None:
    write(tmp_path, role())
    mine = ClientTls(TlsDirectory(tmp_path))
    first = mine.credentials()
    assert mine.credentials() is first
    write(tmp_path, role())
    assert mine.credentials() is not first


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([b"repobridge://role/gateway"], Role.GATEWAY),
        ([b"repobridge://role/operator", b"x.example"], Role.OPERATOR),
        ([b"repobridge://role/gateway", b"repobridge://role/operator"], None),
        ([b"repobridge://role/gateway/"], None),
        ([], None),
    ],
)
def test_a_role_is_one_uri_to_the_letter(names: list[bytes], expected: Role | None) -> None:
    context = {"transport_security_type": [b"ssl"], "x509_subject_alternative_name": names}
    assert role_of(context) is expected
    assert role_of({**context, "transport_security_type": [b"insecure"]}) is None


def test_addresses_are_given_to_grpc_without_a_resolver() -> None:
    assert target("10.0.0.7", 7443) == "ipv4:10.0.0.7:7443"
    assert target("fd00::7", 7443) == "ipv6:[fd00::7]:7443"
    with pytest.raises(ValueError, match="example"):
        target("runner.example", 7443)


def test_a_bridges_name_is_its_uid_in_one_spelling() -> None:
    assert bridge_dns_name(UID.upper()) == f"{UID}.bridge.repobridge.dev"
    with pytest.raises(ValueError, match="hexadecimal"):
        bridge_dns_name("../x")


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("repobridge_runner.serving, repobridge_runner.listener", "cryptography"),
        ("repobridge.lease", "kubernetes"),
    ],
)
def test_who_does_not_need_a_large_library_does_not_load_it(modules: str, heavy: str) -> None:
    program = f"import sys, {modules}; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
