"""A runner says honestly why it is busy, and goes to sleep only when nothing is lost by it."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path

import grpc
import pytest

from repobridge.session.events import (
    BusyReason,
    MessageState,
    RunnerState,
    SessionState,
    TurnError,
    TurnOpened,
    TurnOutcome,
    WorkspaceChanged,
)
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.anthropic import FakeAnthropic, Gate, Text, bash
from tests.fakes.scripted_claude.installed import open_gate
from tests.live_runner import PATIENCE_SECONDS, LiveRunner, held_turn, live_runner
from tests.live_terminal import attached

AFTER_TURN = pb.DrainRequest.AFTER_TURN


async def test_every_reason_to_be_busy_is_told_while_it_lasts(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    gate, start = Gate(), tmp_path / "start"
    os.mkfifo(start)
    anthropic_api.script(Text(["working\n", gate, "done\n"]), bash("touch x"), Text("denied"))
    async with live_runner(
        repository,
        tmp_path / "home",
        claude=_waiting_at_its_start(claude_path, tmp_path / "claude", start),
        api=anthropic_api,
    ) as runner:
        assert await _reasons(runner) == set()
        await runner.submit("first")
        await runner.state(SessionState.STARTING)
        assert await _reasons(runner) == {BusyReason.STARTING, BusyReason.MESSAGES_QUEUED}
        open_gate(start)
        await gate.reached()
        assert await _reasons(runner) == {BusyReason.TURN_OPEN}
        await runner.submit("second")
        assert await _reasons(runner) == {BusyReason.TURN_OPEN, BusyReason.MESSAGES_QUEUED}
        await gate.open()
        await runner.ended("m1")
        asked = await runner.approval()
        assert await _reasons(runner) == {BusyReason.TURN_OPEN, BusyReason.REQUEST_WAITS}
        answer = await runner.stub.Activity(pb.ActivityRequest())
        assert (answer.live_sessions, answer.sessions, answer.queued_messages) == (1, 1, 0)
        assert (answer.log_id, answer.acked_sequence) == (runner.events[0].log_id, 0)
        await runner.decide(asked.request_id, verdict=pb.VERDICT_DENY)
        await runner.ended("m2")
        await _until_idle(runner)


def _waiting_at_its_start(claude: Path, program: Path, gate: Path) -> Path:
    """The CLI, which stands still before it starts until the gate is opened."""
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] || read -r line < {shlex.quote(str(gate))}\n'
        f'exec {shlex.quote(str(claude))} "$@"\n'
    )
    program.chmod(0o700)
    return program


async def test_what_nobody_delivered_counts_only_for_a_consumer_that_acks(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("hello")
    await _until_idle(runner)
    first = runner.events[0]
    cursor = pb.Cursor(log_id=first.log_id, sequence=first.sequence)
    await runner.stub.Ack(pb.AckRequest(consumer="gateway", cursor=cursor))
    assert await _reasons(runner) == {BusyReason.EVENTS_UNACKED}
    assert not (await _drain(runner)).drained
    await runner.next(WorkspaceChanged)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _reasons(runner):
            await _ack_all(runner)
    back = await runner.stub.Ack(pb.AckRequest(consumer="gateway", cursor=cursor))
    assert back.acked.sequence > first.sequence
    # The cost may be told a little later, or on a slow machine not at all.
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await _drain(runner)).drained:
            await _ack_all(runner)


async def test_input_in_an_attached_terminal_keeps_awake_for_a_while(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("hello")
    async with attached(runner) as terminal:
        await terminal.shows("❯")
        await _until_idle(runner)
        await terminal.type(b"dra")
        await terminal.shows("dra")
        assert await _reasons(runner) == {BusyReason.TERMINAL_INPUT}
        answer = await _drain(runner)
        assert (answer.drained, set(answer.busy_reasons)) == (
            False,
            {pb.BUSY_REASON_TERMINAL_INPUT},
        )
        await _until_idle(runner, terminal_idle_seconds=1)
    await _until_idle(runner)


async def test_a_drain_is_refused_while_busy_and_granted_when_idle(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = await held_turn(runner, anthropic_api)
    busy = await _drain(runner)
    assert (busy.drained, list(busy.busy_reasons)) == (False, [pb.BUSY_REASON_TURN_OPEN])
    assert (await runner.submit("second")).status.position == 1
    await gate.open()
    await runner.ended("m2")
    await _until_idle(runner)
    granted = await _drain(runner)
    assert granted.drained
    assert granted.HasField("expires_at")
    assert not (await _drain(runner, drain_id="another")).drained
    assert await _refusal(runner) == ("UNAVAILABLE", "DRAINING")
    listed = await runner.stub.ListSessions(pb.ListSessionsRequest())
    assert listed.runner.state == RunnerState.DRAINING.value
    assert (await runner.submit("second", message_id="m2")).duplicate
    assert not (await runner.stub.Resume(pb.ResumeRequest(drain_id="another"))).resumed
    assert (await runner.stub.Resume(pb.ResumeRequest(drain_id="d1"))).resumed
    assert (await runner.turn("third")).outcome is TurnOutcome.COMPLETED


async def test_a_drain_that_nobody_renews_ends_by_itself(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("hello")
    await _until_idle(runner)
    assert (await _drain(runner, ttl_seconds=300)).drained
    assert await _refusal(runner) == ("UNAVAILABLE", "DRAINING")
    assert (await _drain(runner, ttl_seconds=1)).drained
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await runner.stub.ListSessions(pb.ListSessionsRequest())).runner.state != (
            RunnerState.SERVING.value
        ):
            await asyncio.sleep(0.05)
    assert (await runner.turn("again")).outcome is TurnOutcome.COMPLETED


async def test_after_the_turn_the_queue_is_held_and_the_next_runner_goes_on_with_it(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with live_runner(
        repository,
        tmp_path / "home",
        claude=claude_path,
        api=anthropic_api,
        shutdown_grace_seconds=3600.0,  # none of it is waited for: nothing runs any more
    ) as runner:
        gate = await held_turn(runner, anthropic_api)
        await runner.submit("second")
        held = await _drain(runner, mode=AFTER_TURN, ttl_seconds=300)
        assert not held.drained
        assert pb.BUSY_REASON_TURN_OPEN in held.busy_reasons
        assert await _refusal(runner) == ("UNAVAILABLE", "DRAINING")
        await gate.open()
        await runner.ended("m1")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await _drain(runner, mode=AFTER_TURN, ttl_seconds=300)).drained:
                await asyncio.sleep(0.02)
        assert [each.message_id for each in runner.of(TurnOpened)] == ["m1"]
        assert await runner.stop() == 0
        await runner.start()
        assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
        assert [each.message_id for each in runner.of(TurnOpened)] == ["m1", "m2"]
        assert len(anthropic_api.requests) == 2


async def test_a_turn_that_is_interrupted_for_a_drain_says_so(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = await held_turn(runner, anthropic_api)
    await _drain(runner, mode=AFTER_TURN)
    cut = pb.ControlRequest.Interrupt(cause=pb.INTERRUPT_CAUSE_DRAIN)
    await runner.stub.Control(pb.ControlRequest(conversation_id="main", interrupt=cut))
    ended = await runner.ended("m1")
    assert (ended.outcome, ended.error) == (
        TurnOutcome.INTERRUPTED,
        TurnError(
            "Drained", "The session was put to sleep before the turn ended; write again to go on."
        ),
    )
    assert (await _drain(runner, mode=AFTER_TURN)).drained
    await gate.open()


async def test_a_held_queue_moves_again_when_the_drain_ends(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = await held_turn(runner, anthropic_api)
    await runner.submit("second")
    await _drain(runner, mode=AFTER_TURN, ttl_seconds=300)
    await gate.open()
    await runner.ended("m1")
    status = await runner.stub.Withdraw(pb.WithdrawRequest(message_id="m2"))
    assert status.state == MessageState.WITHDRAWN.value
    await runner.stub.Resume(pb.ResumeRequest(drain_id="d1"))
    assert (await runner.turn("third")).outcome is TurnOutcome.COMPLETED
    gate = Gate()
    anthropic_api.script(Text(["working\n", gate, "done\n"]))
    await runner.submit("fourth")
    await gate.reached()
    await runner.submit("fifth")
    await _drain(runner, mode=AFTER_TURN, ttl_seconds=1)
    await gate.open()
    for message_id in ("m4", "m5"):
        assert (await runner.ended(message_id)).outcome is TurnOutcome.COMPLETED


async def _reasons(runner: LiveRunner, *, terminal_idle_seconds: int = 0) -> set[BusyReason]:
    request = pb.ActivityRequest(terminal_idle_seconds=terminal_idle_seconds)
    return {BusyReason(reason) for reason in (await runner.stub.Activity(request)).busy_reasons}


async def _until_idle(runner: LiveRunner, *, terminal_idle_seconds: int = 0) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _reasons(runner, terminal_idle_seconds=terminal_idle_seconds):
            await asyncio.sleep(0.02)


async def _ack_all(runner: LiveRunner) -> None:
    answer = await runner.stub.Activity(pb.ActivityRequest())
    cursor = pb.Cursor(log_id=answer.log_id, sequence=answer.last_sequence)
    await runner.stub.Ack(pb.AckRequest(consumer="gateway", cursor=cursor))


async def _drain(
    runner: LiveRunner,
    *,
    drain_id: str = "d1",
    mode: pb.DrainRequest.Mode.ValueType = pb.DrainRequest.IF_IDLE,
    ttl_seconds: int = 300,
) -> pb.DrainResponse:
    request = pb.DrainRequest(drain_id=drain_id, mode=mode, ttl_seconds=ttl_seconds)
    return await runner.stub.Drain(request)


async def _refusal(runner: LiveRunner) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runner.submit("while it drains", message_id="refused")
    refusal = from_rpc_error(refused.value)
    return refusal.status.value, refusal.reason
