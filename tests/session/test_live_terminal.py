"""People at the live terminal: what they see, what they may do, and what becomes of their keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from repobridge.session.events import (
    Actor,
    RequestOutcome,
    RequestResolved,
    SessionState,
    TerminalChanged,
    TextDelta,
    ToolEnded,
    TurnEnded,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
    Via,
)
from repobridge.session.refusals import from_rpc_error
from repobridge.session.v1 import session_pb2 as pb
from tests.fakes.anthropic import FakeAnthropic, Gate, Message, Text, ToolUse, bash
from tests.live_runner import LiveRunner, live_runner
from tests.live_terminal import KEY_ENTER, KEY_ESCAPE, LiveTerminal, attached

BEN = pb.Actor(id="uid:2", display_name="Ben", source="terminal")
ANN, BEN_ACTOR = Actor("uid:1", "Ann", "terminal"), Actor("uid:2", "Ben", "terminal")
KEY_INTERRUPT = b"\x03"


async def test_everybody_sees_the_present_screen_first_and_then_what_happens(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("hello there")
    gate = Gate()
    anthropic_api.script(Text(["the first line\n", gate, "the last line\n"]))
    async with attached(runner) as ann:
        await ann.shows("hello there")
        await runner.submit("go on")
        await gate.reached()
        await ann.shows("the first line")
        async with attached(runner, actor=BEN, read_only=True, columns=90, rows=30) as ben:
            for terminal in (ann, ben):
                await terminal.shows("hello there")
                await terminal.shows("the first line")
            await gate.open()
            for terminal in (ann, ben):
                await terminal.shows("the last line")
            await ben.type(b"not for me")
            await ann.type(b"mine")
            await ben.shows("mine")
            assert not any("not for me" in line for line in ann.lines)
        await runner.next(TerminalChanged, where=lambda t: not t.joined)
    await runner.next(TerminalChanged, where=lambda t: t.attached == 0)
    assert runner.of(TerminalChanged) == [
        TerminalChanged(1, ANN, read_only=False, joined=True),
        TerminalChanged(2, BEN_ACTOR, read_only=True, joined=True),
        TerminalChanged(1, BEN_ACTOR, read_only=True, joined=False),
        TerminalChanged(0, ANN, read_only=False, joined=False),
    ]


async def test_the_terminal_takes_the_size_of_who_resized_last(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    await runner.turn("hello")
    async with attached(runner, columns=100, rows=40) as terminal:
        await terminal.until(lambda: _rule(terminal) == 100)
        await terminal.resize(columns=70, rows=20)
        await terminal.until(lambda: _rule(terminal) == 70)
        await terminal.resize(columns=0, rows=9999)  # ignored
        terminal.screen.resize(24, 120)
        await terminal.resize(columns=120, rows=24)
        await terminal.until(lambda: _rule(terminal) == 120)
    assert (await runner.turn("and on")).outcome is TurnOutcome.COMPLETED


@pytest.fixture
async def patient(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveRunner]:
    """A runner that waits for a half-typed line longer than any test: none may be left behind."""
    async with live_runner(
        repository, tmp_path / "home", claude=claude_path, api=anthropic_api, draft_seconds=3600.0
    ) as live:
        yield live


async def test_what_is_typed_becomes_a_turn_of_the_terminal(
    patient: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    runner = patient
    async with attached(runner, start=True) as terminal:
        assert (await runner.state(SessionState.READY)).agent_version == "2.1.197"
        await terminal.shows("❯")
        await terminal.type(b"typed by hand")
        await terminal.shows("typed by hand")
        await terminal.type(KEY_ENTER)
        await terminal.shows("echo: typed by hand")
        await runner.next(TurnEnded)
        opened = runner.of(TurnOpened)
        assert [(each.origin, each.message_id) for each in opened] == [(TurnOrigin.TERMINAL, "")]
        assert runner.of(TurnEnded)[0].final_markdown == "echo: typed by hand"
        # The box is empty again: a message need not wait for anybody's draft.
        assert (await runner.turn("from the chat")).outcome is TurnOutcome.COMPLETED
        await terminal.type(b"/exit\r")
        await terminal.until(lambda: terminal.ended != "")
    assert "ended" in terminal.ended
    assert (await runner.state(SessionState.EXITED)).reason == "Exited"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _attach(runner, "main")
    assert from_rpc_error(refused.value).reason == "NOT_RUNNING"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _attach(runner, "nobody")
    assert from_rpc_error(refused.value).reason == "UNKNOWN_CONVERSATION"


@pytest.fixture
async def impatient(
    repository: Path, tmp_path: Path, claude_path: Path, anthropic_api: FakeAnthropic
) -> AsyncIterator[LiveRunner]:
    """A runner that does not wait long for a half-typed line."""
    async with live_runner(
        repository, tmp_path / "home", claude=claude_path, api=anthropic_api, draft_seconds=1.0
    ) as live:
        yield live


async def test_a_half_typed_line_is_not_sent_along_with_a_message(
    impatient: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    runner = impatient
    await runner.turn("hello")
    async with attached(runner) as terminal:
        await terminal.shows("❯")
        await terminal.type(b"please delete")
        await terminal.shows("please delete")
        assert (await runner.turn("from the chat")).outcome is TurnOutcome.COMPLETED
    assert anthropic_api.requests[-1].last_user_text == "[Ann via terminal]\nfrom the chat"
    assert len(runner.of(TurnOpened)) == 2


async def test_escape_in_the_terminal_ends_the_turn_like_an_interrupt(
    patient: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    runner = patient
    for number, key in enumerate((KEY_ESCAPE, KEY_INTERRUPT)):
        gate = Gate()
        anthropic_api.script(Text(["working\n" * 3, gate, "never\n"]))
        seen = len(runner.events)
        answer = await runner.submit(f"go {number}")
        await runner.next(TextDelta, after=seen)
        async with attached(runner) as terminal:
            await terminal.shows(f"go {number}")
            await terminal.type(key)
            ended = await runner.ended(answer.status.message_id)
            assert ended.outcome is TurnOutcome.INTERRUPTED
    assert (await runner.turn("next")).outcome is TurnOutcome.COMPLETED


async def test_escape_before_the_first_word_ends_the_turn_too(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    anthropic_api.script(Message([gate, Text("never")]))
    await runner.submit("do not say this again")
    await gate.reached()
    async with attached(runner) as terminal:
        await terminal.shows("do not say this again")
        await terminal.type(KEY_ESCAPE)
        assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
    assert (await runner.turn("next")).outcome is TurnOutcome.COMPLETED
    assert anthropic_api.requests[-1].last_user_text == "[Ann via terminal]\nnext"


async def test_what_is_allowed_in_the_terminal_can_not_be_denied_any_more_while_it_runs(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    go = runner.settings.directory / "go"
    anthropic_api.script(
        bash(f"touch begun; while [ ! -e {go} ]; do sleep 0.05; done"), Text("done")
    )
    await runner.submit("wait for it")
    asked = await runner.approval()
    async with attached(runner) as terminal:
        await terminal.shows("Do you want to proceed?")
        await terminal.type(KEY_ENTER)
        resolved = await runner.resolved(asked.request_id)
        assert resolved == RequestResolved(asked.request_id, RequestOutcome.ALLOWED, Via.TERMINAL)
        assert runner.of(ToolEnded) == []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await runner.decide(asked.request_id, verdict=pb.VERDICT_DENY)
    assert from_rpc_error(refused.value).reason == "ALREADY_DECIDED"
    go.touch()
    assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED


async def test_escape_closes_a_question_too(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    options = [{"label": "Red", "description": "r"}, {"label": "Blue", "description": "b"}]
    question = {"question": "Which?", "header": "It", "options": options, "multiSelect": False}
    anthropic_api.script(ToolUse("AskUserQuestion", {"questions": [question]}), Text("never"))
    await runner.submit("ask")
    asked = await runner.question()
    async with attached(runner) as terminal:
        await terminal.type(b"x")
        await terminal.shows("x")
        assert runner.of(RequestResolved) == []
        await terminal.type(KEY_ESCAPE)
        resolved = await runner.resolved(asked.request_id)
        assert (resolved.outcome, resolved.via) == (RequestOutcome.CANCELLED, Via.TERMINAL)
        assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED


async def test_arrows_in_the_dialog_decide_nothing_and_no_denies(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    anthropic_api.script(bash("touch never"), Text("well"))
    await runner.submit("go")
    asked = await runner.approval()
    async with attached(runner) as terminal:
        await terminal.shows("❯ 1. Yes")
        await terminal.type(b"\x1b[B")
        await terminal.shows("❯ 2. Yes")
        await terminal.type(b"\x1b[B")
        await terminal.shows("❯ 3. No")
        assert runner.of(RequestResolved) == []
        await terminal.type(KEY_ENTER)
        resolved = await runner.resolved(asked.request_id)
        assert (resolved.outcome, resolved.via) == (RequestOutcome.CANCELLED, Via.TERMINAL)
        await runner.ended("m1")
    assert not (runner.settings.directory / "never").exists()


def _rule(terminal: LiveTerminal) -> int:
    """How wide the lines around the prompt are."""
    return max((len(line) for line in terminal.lines if line.startswith("────")), default=0)


async def _attach(runner: LiveRunner, conversation_id: str) -> None:
    call = runner.stub.Attach()
    header = pb.AttachHeader(conversation_id=conversation_id)
    await call.write(pb.AttachRequest(header=header))
    await call.read()
