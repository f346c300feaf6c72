"""A bridge in a test's hand: asleep until the test says that a runner is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc

from repobridge.errors import Refusal
from repobridge.session.events import Actor, Cursor
from repobridge_gateway.channels import Served
from repobridge_gateway.fleet.status import BridgePhase, BridgeStatus, RunnerLink
from repobridge_gateway.notices import NoticeBoard
from repobridge_gateway.session_client import CHANNEL_OPTIONS, SessionClient
from repobridge_gateway.watched import Watched
from tests.live_runner import LiveRunner


class HandOperations:
    """What a fleet can do, in a test's hand."""

    def __init__(self) -> None:
        self.slept: list[Actor] = []
        self.refusal: Refusal | None = None
        self.in_the_way: list[str] = []
        self.reloads: list[Actor] = []

    def idle_seconds(self, served: Served) -> float | None:
        """Ten minutes."""
        return 600.0

    async def sleep(self, served: Served, actor: Actor) -> None:
        """Notes who wants it."""
        if self.refusal is not None:
            raise self.refusal
        self.slept.append(actor)

    async def reload(self, actor: Actor) -> str:
        """Notes who wants it."""
        self.reloads.append(actor)
        return "In force from now on: `access`."

    def attach(self, served: Served, conversation: str) -> str:
        """The command of the cluster."""
        return f"kubectl bridge attach {served.bridge.name} --session {conversation}"

    def problems(self, channel_id: str) -> Sequence[str]:
        """What a test says."""
        return self.in_the_way


class HandBridge:
    """A `Bridge` that wakes when a test lets it."""

    def __init__(self, *, wanted: Callable[[], None]) -> None:
        """`wanted` hears of everybody who wants it awake."""
        self.name = "payments"
        self.llm = "claude"
        self.place = "https://git.example.org/payments.git"
        self.board = NoticeBoard()
        self.status = Watched(BridgeStatus(BridgePhase.ASLEEP))
        self.newest: Cursor | None = None
        self._wanted = wanted
        self.woken = 0
        """How often somebody wanted it awake."""

    async def awake(self) -> RunnerLink:
        """The runner, once there is one."""
        self.woken += 1
        self._wanted()
        status = await self.status.until(lambda each: each.phase is BridgePhase.READY)
        assert status.link is not None
        return status.link

    def accepted(self, message_id: str) -> None:
        """Nothing here needs to remember it."""

    @asynccontextmanager
    async def joined(self, runner: LiveRunner) -> AsyncIterator[RunnerLink]:
        """The bridge with this runner for its own."""
        address = f"unix:{runner.settings.socket}"
        async with grpc.aio.insecure_channel(address, CHANNEL_OPTIONS) as channel:
            link = RunnerLink(SessionClient(channel), channel)
            self.status.set(BridgeStatus(BridgePhase.READY, link=link))
            yield link
            self.status.set(BridgeStatus(BridgePhase.ASLEEP))
