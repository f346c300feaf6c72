"""What is wrong is refused with a name and a sentence; nothing is lost, and the runner lives on."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from repobridge.errors import Refusal
from repobridge.session.calls import RunnerCalls
from repobridge.session.events import MessageState, Notice, RunnerState, SessionState, TurnOutcome
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from repobridge_runner.settings import AgentSettings, RepositorySettings, RunnerSettings, dump
from tests.fakes.anthropic import FakeAnthropic
from tests.live_runner import PATIENCE_SECONDS, LiveRunner, held_turn, live_runner

Control = pb.ControlRequest
ALLOW = pb.VERDICT_ALLOW


async def test_calls_that_can_not_be_right_are_refused_with_a_reason(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("hello")
    stub, log_id = runner.stub, runner.events[0].log_id
    future = pb.Cursor(log_id=log_id, sequence=10**9)
    foreign = pb.Cursor(log_id="f" * 32, sequence=1)
    nobody: dict[str, Any] = {"conversation_id": "nobody"}
    invalid, missing = "INVALID_ARGUMENT", "NOT_FOUND"
    range_, state = "OUT_OF_RANGE", "FAILED_PRECONDITION"
    wrong = {"conversation_id": "no spaces"}
    cases: list[tuple[Awaitable[object], str, str]] = [
        (_first(stub.Subscribe(pb.SubscribeRequest(after=future))), range_, "SEQUENCE_IN_FUTURE"),
        (_first(stub.Subscribe(pb.SubscribeRequest(after=foreign))), state, "FOREIGN_LOG"),
        (stub.Ack(pb.AckRequest(consumer="c", cursor=future)), range_, "SEQUENCE_IN_FUTURE"),
        (stub.Ack(pb.AckRequest(consumer="c", cursor=foreign)), state, "FOREIGN_LOG"),
        (stub.Ack(pb.AckRequest(consumer="", cursor=future)), invalid, "BAD_ID"),
        (stub.Control(Control(stop=Control.Stop(), **nobody)), missing, "UNKNOWN_CONVERSATION"),
        (stub.Control(Control(conversation_id="main")), invalid, "NO_ACTION"),
        (stub.Diff(pb.DiffRequest(**nobody)), missing, "UNKNOWN_CONVERSATION"),
        (stub.Amend(pb.AmendRequest(message_id="m99", text="x")), missing, "UNKNOWN_MESSAGE"),
        (stub.Amend(pb.AmendRequest(message_id="m1", text=" ")), invalid, "EMPTY_MESSAGE"),
        (stub.Amend(pb.AmendRequest(message_id="m1", text="x")), state, "ALREADY_PASTED"),
        (stub.Withdraw(pb.WithdrawRequest(message_id="m99")), missing, "UNKNOWN_MESSAGE"),
        (stub.Withdraw(pb.WithdrawRequest(message_id="m1")), state, "ALREADY_PASTED"),
        (runner.decide("r99", verdict=ALLOW), missing, "UNKNOWN_REQUEST"),
        (runner.decide("r99"), invalid, "NO_VERDICT"),
        (runner.submit("   "), invalid, "EMPTY_MESSAGE"),
        (runner.submit("x", **wrong), invalid, "BAD_CONVERSATION_ID"),
        (runner.submit("x", conversation_id=""), invalid, "BAD_CONVERSATION_ID"),
        (runner.submit("x", conversation_id="c" * 101), invalid, "BAD_CONVERSATION_ID"),
        (runner.submit("x", message_id=""), invalid, "BAD_ID"),
        (runner.submit("x", message_id="a\nb"), invalid, "BAD_ID"),
        (stub.Drain(pb.DrainRequest()), invalid, "BAD_ID"),
        (_first(stub.Download(pb.DownloadRequest(blob_id="../x"))), missing, "UNKNOWN_BLOB"),
    ]
    for call, status, reason in cases:
        refusal = await _refused(call)
        assert (refusal.status.value, refusal.reason) == (status, reason), refusal
        assert len(refusal.message) > 15, refusal
        assert refusal.message.endswith((".", "!", "?")), refusal
    seen = len(runner.events)
    late = await _refused(_first(stub.Subscribe(pb.SubscribeRequest(after=future))))
    assert int(late.params["last"]) >= seen
    other = await _refused(_first(stub.Subscribe(pb.SubscribeRequest(after=foreign))))
    assert other.params["log_id"] == log_id
    assert (await runner.turn("still there?")).outcome is TurnOutcome.COMPLETED


async def test_an_oversized_message_is_refused_and_told_of_upload(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    for size in ((1 << 20) + 1, 5 << 20):
        refusal = await _refused(runner.submit("x" * size))
        assert (refusal.status.value, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_TOO_LARGE")
        assert "Upload" in refusal.message
        assert refusal.params["call"] == "Upload"
        refusal = await _refused(
            runner.stub.Amend(pb.AmendRequest(message_id="m1", text="x" * size))
        )
        assert refusal.reason == "MESSAGE_TOO_LARGE"
    assert (await runner.turn("small")).outcome is TurnOutcome.COMPLETED


async def test_the_twenty_first_message_finds_the_queue_full(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = await held_turn(runner, anthropic_api)
    positions = [(await runner.submit(f"number {n}")).status.position for n in range(20)]
    assert positions == list(range(1, 21))
    refusal = await _refused(runner.submit("one too many", message_id="late"))
    assert (refusal.status.value, refusal.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
    assert refusal.params == {"queued": "20"}
    await runner.submit("another conversation has its own", conversation_id="thread")
    for number in range(2, 22):
        await runner.stub.Withdraw(pb.WithdrawRequest(message_id=f"m{number}"))
    again = await runner.submit("now it fits", message_id="late")
    assert (again.status.position, again.duplicate) == (1, False)
    await gate.open()
    assert (await runner.ended("late")).outcome is TurnOutcome.COMPLETED


async def test_an_agent_of_a_wrong_version_takes_no_work(
    repository: Path, tmp_path: Path, anthropic_api: FakeAnthropic
) -> None:
    old = _program(tmp_path / "old" / "claude", "echo '2.0.14 (Claude Code)'")
    async with live_runner(repository, tmp_path / "home", claude=old, api=anthropic_api) as live:
        notice = await live.next(Notice)
        assert (notice.code, dict(notice.params)) == (
            "AgentTooOld",
            {"version": "2.0.14", "oldest": "2.1.128"},
        )
        refusal = await _refused(live.submit("hello"))
        assert (refusal.status.value, refusal.reason) == ("FAILED_PRECONDITION", "AGENT_VERSION")
        assert "2.0.14" in refusal.message
        answer = await live.stub.Activity(pb.ActivityRequest())
        assert (answer.sessions, answer.problem.reason) == (0, "AGENT_VERSION")


async def test_who_looks_after_a_runner_is_told_why_nothing_can_run_in_it(
    tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> None:
    async with (
        live_runner(
            tmp_path / "checkout",
            tmp_path / "home",
            claude=claude_path,
            api=anthropic_api,
            repository=RepositorySettings(url="https://127.0.0.1:1/acme/payments.git"),
        ) as live,
        grpc.aio.insecure_channel(f"unix:{live.settings.socket}") as channel,
    ):
        failed = await live.state(SessionState.EXITED)
        activity = await RunnerCalls(channel).activity()
        assert activity.state is RunnerState.PREPARING
        assert (activity.problem_reason, activity.problem) == ("CloneFailed", failed.detail)


async def test_a_program_that_is_no_agent_turns_the_message_away(
    repository: Path, tmp_path: Path, anthropic_api: FakeAnthropic
) -> None:
    wrong = _program(tmp_path / "wrong" / "claude", "echo hello from a stranger; exit 3")
    async with live_runner(repository, tmp_path / "home", claude=wrong, api=anthropic_api) as live:
        await live.submit("hello")
        rejected = await live.message("m1", MessageState.REJECTED)
        assert rejected.reason.startswith("AgentExited: ")
        assert "hello from a stranger" in rejected.reason
        assert (await live.submit("hello", message_id="m1")).status.state == (
            MessageState.REJECTED.value
        )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("not json", "runner.json: "),
        ("[]", "runner.json: the whole must be an object"),
        ({"bridge_uid": 7}, "runner.json: bridge_uid: 7 is not a text"),
        ({"bridge_uid": "no-uuid"}, "bridge_uid"),
        ({"directory": None}, "runner.json: directory: null is not"),
        ({"colour": "red"}, "runner.json: colour: no such setting"),
        ({"agent": {"modle": "x"}}, "runner.json: agent.modle: no such setting"),
        ({"agent": {"resume": "yes"}}, 'runner.json: agent.resume: "yes" is not true or false'),
        ({"agent": {"allowed_tools": "Bash"}}, "agent.allowed_tools: "),
        ({"live_sessions": 0}, "live_sessions: "),
        ({"queue_length": -1}, "queue_length: "),
        ({"confirm_seconds": 0}, "confirm_seconds: "),
        ({"log_format": "xml"}, "log_format: "),
        ({"agent": {"executable": "no-such-claude"}}, "agent.executable: there is no program"),
        ({"agent": {"type": "cobol"}}, "agent.type: 'cobol'"),
        ({"agent": {"permission_mode": "yolo"}}, "agent.permission_mode: "),
        ({"metrics_address": "nonsense"}, "metrics_address: "),
        ({"state_dir": "/proc/no/such"}, "/proc/no"),
        ({"socket": "/proc/no/runner.sock"}, "/proc/no"),
        ({"metrics_address": "127.0.0.1:99999"}, "metrics_address: "),
        ({"socket": "/tmp/" + "s" * 200}, "s" * 20),
        ("missing", "runner.json: "),
    ],
)
async def test_an_unusable_configuration_is_one_sentence_and_exit_code_2(
    tmp_path: Path, change: Mapping[str, Any] | str, said: str
) -> None:
    config = tmp_path / "runner.json"
    if isinstance(change, str):
        if change != "missing":
            config.write_text(change)
    else:
        whole = json.loads(dump(_settings(tmp_path)))
        agent = {**whole["agent"], **change.get("agent", {})}
        config.write_text(json.dumps({**whole, **change, "agent": agent}))
    code, told = await _run(config)
    assert code == 2, told
    assert told.startswith("repobridge-runner: "), told
    assert told.count("\n") == 1, told
    assert said in told


async def test_the_second_runner_on_one_workspace_refuses(
    runner: LiveRunner, tmp_path: Path, anthropic_api: FakeAnthropic
) -> None:
    config = tmp_path / "second.json"
    config.write_text(dump(replace(runner.settings, socket=tmp_path / "second.sock")))
    code, told = await _run(config)
    assert (code, told.count("\n")) == (2, 1), told
    assert "another runner" in told.lower()
    elsewhere = replace(
        runner.settings, socket=tmp_path / "third.sock", state_dir=tmp_path / "third"
    )
    config.write_text(dump(elsewhere))
    third = LiveRunner(elsewhere, environment=dict(os.environ), home=_made(tmp_path / "third-home"))
    await third.start()
    try:
        refusal = await _refused_eventually(third)
        assert (refusal.status.value, refusal.reason) == ("FAILED_PRECONDITION", "WorkspaceLocked")
        assert str(runner.process.pid) in refusal.message
        assert (await runner.turn("still mine")).outcome is TurnOutcome.COMPLETED
        assert await runner.stop() == 0
        await _usable(third)
    finally:
        assert await third.stop() == 0


async def _usable(runner: LiveRunner) -> None:
    """Waits until nothing is in the way of work there: what was, is looked at now and then."""
    async with asyncio.timeout(60):
        while (await runner.stub.Activity(pb.ActivityRequest())).HasField("problem"):
            await asyncio.sleep(0.1)


async def _refused_eventually(runner: LiveRunner) -> Refusal:
    """The workspace is looked at beside the first calls: what came before is turned away too."""
    try:
        await runner.submit("hello")
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
    await runner.message("m1", MessageState.REJECTED)
    return await _refused(runner.submit("hello"))


async def _refused(call: Awaitable[object]) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return from_rpc_error(refused.value)


async def _first(stream: Any) -> object:
    return await stream.read()


async def _run(config: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "repobridge_runner",
        "--config",
        str(config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=config.parent,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            _, told = await process.communicate()
    except TimeoutError:
        process.kill()
        _, told = await process.communicate()
        raise AssertionError(f"it went on: {told.decode()}") from None
    assert process.returncode is not None
    return process.returncode, told.decode()


def _settings(tmp_path: Path) -> RunnerSettings:
    return RunnerSettings(
        bridge_uid="0b7c1d1c-33a5-4b7f-8f65-000000000001",
        directory=_made(tmp_path / "directory"),
        state_dir=tmp_path / "state",
        socket=tmp_path / "runner.sock",
        agent=AgentSettings(executable="/bin/true"),
    )


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def _made(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path
