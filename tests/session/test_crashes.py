"""The runner or the agent is killed in mid-turn: the turn goes on once, or says that it can't.

Whichever it is, the turn has one end, its prompt stands once in every history, and what waited
behind it runs in order.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from repobridge.session.events import (
    MessageState,
    Notice,
    RequestOutcome,
    SessionChanged,
    SessionState,
    TextDelta,
    ToolStarted,
    TurnEnded,
    TurnOpened,
    TurnOrigin,
    TurnOutcome,
    Verdict,
)
from tests.fakes.anthropic import FakeAnthropic, Gate, MessagesRequest, Reply, Text, bash
from tests.fakes.scripted_claude.installed import open_gate
from tests.live_runner import LiveRunner, live_runner
from tests.session.faulty import (
    CONTINUE,
    agent_of,
    assert_one_end_each,
    eventually,
    kill_agent,
    prompt,
    when,
    written,
)

Crash = Callable[[LiveRunner], Awaitable[None]]


async def crash_of_the_runner(runner: LiveRunner) -> None:
    """SIGKILL to the runner, and a new one on the same state."""
    await runner.kill()
    await runner.start()


async def crash_of_the_agent(runner: LiveRunner) -> None:
    """SIGKILL to the CLI."""
    kill_agent(runner)


CRASHES = pytest.mark.parametrize(
    "crash", [crash_of_the_runner, crash_of_the_agent], ids=["runner", "agent"]
)


def run_once(command: str) -> Callable[[MessagesRequest], Reply]:
    """Asks for a command until it ran well."""

    def reply(request: MessagesRequest) -> Reply:
        is_done = any(not result.is_error for result in request.tool_results)
        return Text("it ran\n") if is_done else bash(command)

    return reply


def assert_asked_once(api: FakeAnthropic, *texts: str) -> None:
    """Each prompt stands once in the histories that hold it: none was pasted twice."""
    for text in texts:
        counts = [request.prompts.count(prompt(text)) for request in api.requests]
        assert max(counts) == 1, (text, counts)
    assert api.refusals == []


def origins(runner: LiveRunner) -> list[tuple[str, TurnOrigin]]:
    return [(body.message_id, body.origin) for body in runner.of(TurnOpened)]


@CRASHES
async def test_a_turn_that_is_cut_while_text_streams_goes_on_once(
    runner: LiveRunner, anthropic_api: FakeAnthropic, crash: Crash
) -> None:
    gate = Gate()
    when(anthropic_api, "tell me", lambda _: Text(["one\n", "two\n", gate, "three\n"]))
    await runner.submit("tell me")
    await runner.submit("what waits")
    await runner.submit("what waits longer")
    await runner.next(TextDelta)
    await written(runner, "tell me")
    await crash(runner)
    await gate.reached(2)
    await gate.open()
    ended = await runner.ended("m1")
    assert (ended.outcome, ended.final_markdown) == (TurnOutcome.COMPLETED, "one\ntwo\nthree")
    assert (await runner.ended("m3")).outcome is TurnOutcome.COMPLETED
    assert origins(runner) == [
        ("m1", TurnOrigin.MESSAGE),
        ("m1", TurnOrigin.RESUME),
        ("m2", TurnOrigin.MESSAGE),
        ("m3", TurnOrigin.MESSAGE),
    ]
    assert len(runner.of(TurnEnded)) == 3
    assert_one_end_each(runner)
    assert_asked_once(anthropic_api, "tell me", "what waits", "what waits longer")
    assert [notice.code for notice in runner.of(Notice)].count("AgentRestarted") == 1


@CRASHES
async def test_a_turn_that_is_cut_while_a_tool_runs_goes_on_or_says_so(
    repository: Path,
    tmp_path: Path,
    claude_path: Path,
    anthropic_api: FakeAnthropic,
    crash: Crash,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    marks = tmp_path / "marks"
    command = f"echo ran >> {marks}; read line < {gate}"
    when(anthropic_api, "run it", run_once(command))
    agent = {"allowed_tools": ("Bash",)}
    async with live_runner(
        repository, tmp_path / "home", claude=claude_path, api=anthropic_api, agent=agent
    ) as runner:
        await runner.submit("run it")
        await runner.submit("what waits")
        await runner.next(ToolStarted)
        await eventually(marks.exists)
        await written(runner, "run it")
        await crash(runner)
        open_gate(gate)
        ended = await runner.ended("m1")
        assert ended.outcome in (TurnOutcome.COMPLETED, TurnOutcome.LOST)
        assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
        assert len(runner.of(TurnEnded)) == 2
        assert_one_end_each(runner)
        assert_asked_once(anthropic_api, "run it", "what waits")
        # What the model asks for again after the cut is its own decision; the runner adds none.
        asked = [r for r in anthropic_api.requests if r.prompts[-1] in (prompt("run it"), CONTINUE)]
        assert marks.read_text().count("ran") <= sum(not r.tool_results for r in asked)


@CRASHES
async def test_a_turn_that_is_cut_while_a_permission_waits_asks_again(
    runner: LiveRunner, anthropic_api: FakeAnthropic, crash: Crash, repository: Path
) -> None:
    when(anthropic_api, "make it", run_once("touch made"))
    await runner.submit("make it")
    await runner.submit("what waits")
    first = await runner.approval()
    seen = len(runner.events)
    await written(runner, "make it")
    await crash(runner)
    assert (await runner.resolved(first.request_id)).outcome is RequestOutcome.CANCELLED
    second = await runner.approval(after=seen)
    assert second.request_id != first.request_id
    await runner.decide(second.request_id, verdict=Verdict.ALLOW.value)
    assert (await runner.ended("m1")).outcome is TurnOutcome.COMPLETED
    assert (repository / "made").exists()
    assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
    assert len(runner.of(TurnEnded)) == 2
    assert_one_end_each(runner)
    assert_asked_once(anthropic_api, "make it", "what waits")


@CRASHES
async def test_a_second_crash_in_the_same_turn_is_told_as_its_loss(
    runner: LiveRunner, anthropic_api: FakeAnthropic, crash: Crash
) -> None:
    gate = Gate()
    when(anthropic_api, "tell me", lambda _: Text(["one\n", gate, "two\n"]))
    await runner.submit("tell me")
    await runner.submit("what waits")
    await gate.reached(1)
    await runner.next(TextDelta)
    await written(runner, "tell me")
    await crash(runner)
    await gate.reached(2)
    await runner.next(TurnOpened, where=lambda opened: opened.origin is TurnOrigin.RESUME)
    await crash(runner)
    ended = await runner.ended("m1")
    assert ended.outcome is TurnOutcome.LOST
    assert ended.error is not None
    assert ended.error.code == "Crashed"
    await gate.open()
    assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
    assert len(runner.of(TurnEnded)) == 2
    assert_one_end_each(runner)
    assert [r.last_user_text for r in anthropic_api.requests] == [
        prompt("tell me"),
        CONTINUE,
        prompt("what waits"),
    ]


@CRASHES
async def test_a_session_that_crashes_at_its_prompt_remembers(
    runner: LiveRunner, anthropic_api: FakeAnthropic, crash: Crash
) -> None:
    await runner.turn("my colour is blue")
    await written(runner, "my colour is blue")
    seen = len(runner.events)
    await crash(runner)
    if crash is crash_of_the_agent:
        left = await runner.state(SessionState.EXITED, after=seen)
        assert (left.reason, left.detail) == ("Crashed", "signal 9")
    assert (await runner.turn("which colour?")).outcome is TurnOutcome.COMPLETED
    assert anthropic_api.requests[-1].prompts == (
        prompt("my colour is blue"),
        prompt("which colour?"),
    )
    resumed = [body.resumed for body in runner.of(SessionChanged) if body.resumed]
    assert resumed == [True]
    assert_one_end_each(runner)


@CRASHES
async def test_a_turn_that_is_cut_before_the_agent_wrote_it_down_is_told_and_leaves_no_stain(
    runner: LiveRunner, anthropic_api: FakeAnthropic, crash: Crash
) -> None:
    gate = Gate()
    when(anthropic_api, "tell me", lambda _: Text([gate, "one\n"]))
    await runner.submit("tell me")
    await runner.submit("what waits")
    await runner.next(TurnOpened)  # its transcript has no prompt yet
    await crash(runner)
    ended = await runner.ended("m1")
    assert ended.outcome in (TurnOutcome.LOST, TurnOutcome.COMPLETED)
    await gate.open()
    assert (await runner.ended("m2")).outcome is TurnOutcome.COMPLETED
    assert_one_end_each(runner)
    assert_asked_once(anthropic_api, "what waits")


async def test_an_interrupted_turn_whose_agent_dies_is_not_resumed(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    when(anthropic_api, "tell me", lambda _: Text(["one\n", gate, "two\n"]))
    await runner.submit("tell me")
    await runner.next(TextDelta)
    agent_of(runner).suspend()  # it can neither end the turn nor say so
    await runner.interrupt()
    kill_agent(runner)
    assert (await runner.ended("m1")).outcome is TurnOutcome.INTERRUPTED
    assert (await runner.turn("next")).outcome is TurnOutcome.COMPLETED
    assert sum(r.last_user_text == prompt("tell me") for r in anthropic_api.requests) == 1
    await gate.open()


async def test_messages_that_wait_when_the_runner_dies_run_in_their_order(
    runner: LiveRunner, anthropic_api: FakeAnthropic
) -> None:
    gate = Gate()
    when(anthropic_api, "number 0", lambda _: Text(["begun\n", gate, "done\n"]))
    for number in range(6):
        await runner.submit(f"number {number}")
    await runner.next(TextDelta)
    await written(runner, "number 0")
    await runner.kill()
    await gate.open()
    await runner.start()
    await runner.message("m6", MessageState.ENDED)
    taken = [message_id for message_id, origin in origins(runner) if origin is TurnOrigin.MESSAGE]
    assert taken == [f"m{number}" for number in range(1, 7)]
    assert_one_end_each(runner)
    known = [each for each in anthropic_api.requests[-1].prompts if each != CONTINUE]
    assert known == [prompt(f"number {n}") for n in range(6)]
