"""A real runner is put to sleep by the operator's task, over real gRPC: nothing is cut early."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from repobridge.errors import Refusal
from repobridge.idle import IdlePolicy
from repobridge.session.events import SessionState, TurnError, TurnOpened, TurnOutcome
from repobridge.session.refusals import failures_as_refusals
from repobridge.session.v1 import session_pb2 as pb
from repobridge_operator.idle import Idle
from repobridge_operator.metrics_sleep import SleepMetrics
from repobridge_operator.observed import BridgeKey
from repobridge_operator.runners import Place, Runners
from repobridge_operator.sleep_values import (
    Facts,
    Ground,
    Lower,
    Lowering,
    Now,
    Permission,
    Want,
)
from tests.fakes.scripted_claude.installed import ScriptedClaude, open_gate
from tests.live_runner import LiveRunner
from tests.session.faulty import FaultyRunner, assert_one_end_each, scripted_runner

KEY = BridgeKey("team", "payments")
PATIENCE_SECONDS = 90.0
POD = "pod-1"


class SocketDialler:
    """Dials the runner's unix socket, where a cluster has its address."""

    def __init__(self, runner: LiveRunner) -> None:
        self._runner = runner

    def identity(self) -> object:
        return self

    def dial(self, place: Place) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{self._runner.settings.socket}")


class Watched:
    """One bridge as the API server has it, and what the operator's task says of its pod."""

    def __init__(self, runner: LiveRunner, **facts: Any) -> None:
        self.facts = Facts(
            want=Want.AWAKE,
            bridge_uid=str(uuid.uuid4()),
            pod_uid=POD,
            address="10.0.0.7",
            is_running=True,
            awake_since=time.time(),
            resource_version="1",
            generation=1,
            policy=IdlePolicy(idle_seconds=0.5),
            drain_timeout_seconds=600.0,
        )
        self.facts = replace(self.facts, **facts)
        self.lowered: list[Lower] = []
        self.lowering_hangs = False
        self.lowering_began = asyncio.Event()
        self.news = asyncio.Condition()
        self._told: set[asyncio.Task[None]] = set()
        self.runner = runner
        self.idle = self.make_operator()

    def make_operator(self) -> Idle:
        return Idle(
            runners=Runners(SocketDialler(self.runner)),
            lower=self.lower,
            changed=self._changed,
            metrics=SleepMetrics(CollectorRegistry()),
            clock=lambda: Now(time.monotonic(), time.time()),
            chance=lambda: 0.0,
        )

    @asynccontextmanager
    async def operated(self) -> AsyncIterator[Idle]:
        """Runs an operator that knows nothing yet, and kills it at the end."""
        self.idle = self.make_operator()
        task = asyncio.create_task(self.idle.run())
        self.idle.observe(KEY, self.facts)
        try:
            yield self.idle
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def lower(self, key: BridgeKey, bridge_uid: str, lower: Lower) -> Lowering:
        assert (key, bridge_uid) == (KEY, self.facts.bridge_uid)
        self.lowering_began.set()
        if self.lowering_hangs:
            await asyncio.Event().wait()
        if lower != Lower(self.facts.resource_version, self.facts.generation):
            return Lowering.OVERTAKEN
        self.lowered.append(lower)
        self.set(want=Want.ASLEEP, generation=self.facts.generation + 1)
        return Lowering.DONE

    def set(self, **facts: Any) -> None:
        """Changes the bridge; the watch tells it at once."""
        self.facts = replace(self.facts, **facts)
        self.idle.observe(KEY, self.facts)
        self._changed(KEY)

    @property
    def permission(self) -> Permission | None:
        return self.idle.permission(KEY, POD)

    def _changed(self, key: BridgeKey) -> None:
        task = asyncio.get_running_loop().create_task(self._tell())
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _tell(self) -> None:
        async with self.news:
            self.news.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until the operator's task told something that makes it so."""
        async with asyncio.timeout(PATIENCE_SECONDS), self.news:
            await self.news.wait_for(holds)

    async def until_permitted(self) -> Permission:
        await self.until(lambda: self.permission is not None)
        assert self.permission is not None
        return self.permission


@pytest.fixture
def scripted(tmp_path: Path) -> ScriptedClaude:
    return ScriptedClaude(tmp_path / "agent")


@pytest.fixture
async def runner(tmp_path: Path, scripted: ScriptedClaude) -> AsyncIterator[FaultyRunner]:
    async with scripted_runner(tmp_path, scripted) as live:
        yield live


async def refusal(runner: LiveRunner, message_id: str) -> str:
    with pytest.raises(Refusal) as refused, failures_as_refusals():
        await runner.submit("while it drains", message_id=message_id)
    return f"{refused.value.status.value} {refused.value.reason}"


async def accepted(runner: LiveRunner, message_id: str) -> None:
    """Submits again and again, as the gateway does, until the runner takes it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                with failures_as_refusals():
                    await runner.submit("now?", message_id=message_id)
                return
            except Refusal as found:
                if found.reason != "DRAINING":
                    raise
            await asyncio.sleep(0.02)


async def test_an_idle_runner_is_drained_lowered_and_its_pod_given_free(
    runner: FaultyRunner,
) -> None:
    await runner.turn("hello")
    watched = Watched(runner)
    async with watched.operated():
        found = await watched.until_permitted()
        assert found == Permission(POD, Ground.DRAINED)
        assert watched.lowered == [Lower("1", 1)]
        assert await refusal(runner, "late") == "UNAVAILABLE DRAINING"
        report = watched.idle.report(KEY, POD)
        assert report.activity is not None
        assert (report.activity.sessions, report.activity.live_sessions) == (1, 1)
        assert report.silence == ""


async def test_a_wake_in_the_middle_of_a_sleep_has_the_runner_take_messages_again(
    runner: FaultyRunner,
) -> None:
    await runner.turn("hello")
    watched = Watched(runner)
    async with watched.operated():
        await watched.until_permitted()
        watched.set(want=Want.AWAKE, generation=3, policy=IdlePolicy(idle_seconds=600.0))
        assert watched.permission is None
        await accepted(runner, "m9")
        assert (await runner.ended("m9")).outcome is TurnOutcome.COMPLETED


async def test_a_wish_that_changed_before_the_lowering_wins(runner: FaultyRunner) -> None:
    await runner.turn("hello")
    watched = Watched(runner)
    watched.idle = watched.make_operator()
    told = watched.facts
    async with watched.operated() as idle:
        # The API server has a newer bridge than the watch has told of.
        watched.facts = replace(told, resource_version="2", generation=2, want=Want.AWAKE)
        await asyncio.wait_for(watched.lowering_began.wait(), PATIENCE_SECONDS)
        idle.observe(KEY, replace(watched.facts, policy=IdlePolicy(idle_seconds=600.0)))
        await accepted(runner, "m9")
        assert watched.lowered == []
        assert watched.permission is None


async def test_a_busy_runner_is_left_alone_until_its_turn_ends_and_takes_nothing_new(
    runner: FaultyRunner, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("turn")
    watched = Watched(runner, want=Want.ASLEEP)
    await runner.submit(f"%gate {gate}")
    await runner.next(TurnOpened)
    await runner.submit("what waits")
    async with watched.operated():
        await draining(runner)
        assert await refusal(runner, "late") == "UNAVAILABLE DRAINING"
        assert watched.permission is None
        open_gate(gate)
        assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
        assert await watched.until_permitted() == Permission(POD, Ground.DRAINED)
    assert [each.message_id for each in runner.of(TurnOpened)] == ["m1"]
    assert await runner.stop() == 0
    await runner.start()
    assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED


async def draining(runner: LiveRunner) -> None:
    """Waits until the runner drains."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await runner.stub.ListSessions(pb.ListSessionsRequest())).runner.state != (
            pb.RUNNER_STATE_DRAINING
        ):
            await asyncio.sleep(0.02)


async def test_after_drain_timeout_the_turn_is_cut_and_its_end_says_so(
    runner: FaultyRunner, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("turn")
    watched = Watched(runner, want=Want.ASLEEP, drain_timeout_seconds=1.0)
    await runner.submit(f"%gate {gate}")
    await runner.next(TurnOpened)
    await runner.submit("what waits")
    began = time.monotonic()
    async with watched.operated():
        ended = await runner.ended("m1")
        assert time.monotonic() - began >= 1.0
        assert await watched.until_permitted() == Permission(POD, Ground.DRAINED)
    sentence = "The session was put to sleep before the turn ended; write again to go on."
    assert (ended.outcome, ended.error) == (
        TurnOutcome.INTERRUPTED,
        TurnError("Drained", sentence),
    )
    assert [each.message_id for each in runner.of(TurnOpened)] == ["m1"]
    assert_one_end_each(runner)
    open_gate(gate)


async def test_an_operator_that_dies_between_drain_and_lowering_is_succeeded_by_another(
    runner: FaultyRunner,
) -> None:
    await runner.turn("hello")
    watched = Watched(runner)
    watched.lowering_hangs = True
    async with watched.operated():
        await asyncio.wait_for(watched.lowering_began.wait(), PATIENCE_SECONDS)
    assert await refusal(runner, "late") == "UNAVAILABLE DRAINING"
    watched.lowering_hangs = False
    async with watched.operated():
        assert await watched.until_permitted() == Permission(POD, Ground.DRAINED)
    assert watched.lowered == [Lower("1", 1)]


async def test_a_new_operator_goes_on_counting_where_the_status_says_the_old_one_began(
    runner: FaultyRunner, scripted: ScriptedClaude
) -> None:
    gate = scripted.gate("turn")
    watched = Watched(
        runner, want=Want.ASLEEP, drain_timeout_seconds=60.0, asleep_since=time.time() - 61.0
    )
    await runner.submit(f"%gate {gate}")
    await runner.next(TurnOpened)
    async with watched.operated():
        assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
        assert await watched.until_permitted() == Permission(POD, Ground.DRAINED)
    open_gate(gate)


async def test_a_runner_that_is_gone_is_reported_silent_and_one_that_answers_again_is_not(
    runner: FaultyRunner,
) -> None:
    await runner.turn("hello")
    await runner.state(SessionState.READY)
    watched = Watched(runner, policy=IdlePolicy(idle_seconds=600.0))
    async with watched.operated():
        await watched.until(lambda: watched.idle.report(KEY, POD).activity is not None)
        runner.process.kill()
        await runner.process.wait()
        await watched.until(lambda: watched.idle.report(KEY, POD).silence != "")
        await runner.died()
        await runner.start()
        await watched.until(lambda: watched.idle.report(KEY, POD).silence == "")
