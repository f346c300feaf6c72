"""A real runner that listens with certificates, as a pod's does, and callers with theirs."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from repobridge.errors import Refusal
from repobridge.session.refusals import failures_as_refusals
from repobridge.session.v1 import session_pb2 as pb
from repobridge.session.v1.session_pb2_grpc import SessionServiceStub
from repobridge.tls import bridge_channel, client_credentials
from repobridge.tls_files import TlsMaterial
from tests.fakes.scripted_claude.installed import ScriptedClaude
from tests.live_runner import LiveRunner
from tests.ports import free_port
from tests.session.faulty import make_runner

if TYPE_CHECKING:
    from repobridge.session.v1.session_pb2_grpc import SessionServiceAsyncStub

PATIENCE_SECONDS = 90.0


def swap(directory: Path, found: TlsMaterial) -> None:
    """Replaces the files as the kubelet does: all at once, behind a symbolic link."""
    fresh = directory / f"..{uuid.uuid4()}"
    fresh.mkdir(parents=True)
    contents = {"tls.crt": found.certificate, "tls.key": found.key, "ca.crt": found.bundle}
    for name, content in contents.items():
        (fresh / name).write_bytes(content)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    link = directory / "..new"
    link.symlink_to(fresh.name)
    link.replace(directory / "..data")


class SecureRunner:
    """A live runner, its port and its certificate files."""

    def __init__(self, live: LiveRunner, *, port: int, tls: Path) -> None:
        self.live = live
        self.uid = live.settings.bridge_uid
        self.port = port
        self.tls = tls

    @asynccontextmanager
    async def called_as(
        self, who: TlsMaterial, *, uid: str = ""
    ) -> AsyncIterator[SessionServiceAsyncStub]:
        async with self.channel(who, uid=uid) as channel:
            with failures_as_refusals():
                yield SessionServiceStub(channel)

    def channel(self, who: TlsMaterial, *, uid: str = "") -> grpc.aio.Channel:
        return bridge_channel(
            "127.0.0.1", self.port, uid=uid or self.uid, credentials=client_credentials(who)
        )

    async def sessions(self, who: TlsMaterial, *, uid: str = "") -> pb.ListSessionsResponse:
        async with self.called_as(who, uid=uid) as stub:
            request = pb.ListSessionsRequest()
            return await stub.ListSessions(request, timeout=PATIENCE_SECONDS)

    async def refusal(self, who: TlsMaterial, *, uid: str = "") -> str:
        """The reason for which a caller gets nowhere."""
        with pytest.raises(Refusal) as caught:
            await self.sessions(who, uid=uid)
        assert caught.value.message
        return caught.value.reason

    def logged(self, message: str) -> list[Mapping[str, Any]]:
        lines = (line for line in self.live.log_text().splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, lines) if line["msg"] == message]


@asynccontextmanager
async def secure_runner(
    tmp_path: Path, provide: Callable[[str], Awaitable[TlsMaterial]]
) -> AsyncIterator[SecureRunner]:
    """A runner with the scripted agent; `provide` is asked for its first files by its UID."""
    directory, tls, port = tmp_path / "directory", tmp_path / "tls", free_port()
    directory.mkdir()
    live = make_runner(
        directory,
        tmp_path / "home",
        agent=ScriptedClaude(tmp_path / "agent").agent,
        listen_address=f"127.0.0.1:{port}",
        tls_directory=str(tls),
        log_format="json",
    )
    swap(tls, await provide(live.settings.bridge_uid))
    await live.start()
    try:
        yield SecureRunner(live, port=port, tls=tls)
    finally:
        await live.stop()
